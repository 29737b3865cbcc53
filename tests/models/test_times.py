"""Laws of the training time against scipy's: a hypothesis test over deciles, which another law fails."""

import pytest
import torch
from scipy import stats
from scipy.special import logit

import tiny
from unlearnable.errors import UsageError
from unlearnable.models.adapters import adapt
from unlearnable.models.finetune import times
from unlearnable.models.finetune.training import FineTune, Trainer

COUNT = 20_000


def logit_normal(share):
    return stats.norm.cdf(logit(share))


def shifted(share):
    """The distribution of 3u / (1 + 2u): that of u at the inverse."""
    return logit_normal(share / (3 - 2 * share))


LAWS = {"logit-normal": logit_normal, "sigmoid": logit_normal, "shift": shifted, "uniform": lambda share: share}


def p_value(t, shares, cdf):
    """Pearson's test that times `t`, whose shares of noise are ``shares[t]``, have a distribution, over ten groups."""
    cumulative = cdf(shares.numpy())
    group = (torch.as_tensor(cumulative) * 10).ceil().clamp(1, 10).long() - 1
    expected = torch.zeros(10, dtype=torch.float64)
    expected.index_add_(0, group, torch.as_tensor(cumulative).diff(prepend=torch.zeros(1, dtype=torch.float64)))
    return stats.chisquare(torch.bincount(group[t], minlength=10).numpy(), (expected * len(t)).numpy()).pvalue


@pytest.mark.parametrize("family", ["sd1", "sd3"])
@pytest.mark.parametrize("law", LAWS)
def test_times_have_the_named_law(law, family):
    """Of sd3 the schedule is shifted: the laws are of sigma, whatever times there are; `uniform` is of the times."""
    schedule = adapt(tiny.build(family), family).schedule
    t = times.draw(law, schedule, COUNT, torch.Generator().manual_seed(3))
    assert t.dtype == torch.int64 and t.min() >= 0 and t.max() < len(schedule)
    shares = (torch.arange(len(schedule), dtype=torch.float64) + 1) / len(schedule)
    if family == "sd3" and law != "uniform":
        shares = schedule.noise.double()
    assert p_value(t, shares, LAWS[law]) > 1e-3
    for other, cdf in LAWS.items():
        assert cdf is LAWS[law] or p_value(t, shares, cdf) < 1e-12, other


def test_the_trainer_draws_from_its_law(monkeypatch):
    monkeypatch.setitem(times.LAWS, "fixed", lambda u: 0.25 + 0 * u)
    model, seen = adapt(tiny.build("sd1"), "tiny"), []
    monkeypatch.setattr(model.schedule.__class__, "noised", lambda s, z, noise, t: seen.append(t) or z)
    with torch.no_grad():
        c = model.condition(["a disc"])
    Trainer(model, FineTune(2, batch=3, times="fixed")).run(tiny.pictures(3), c)
    assert torch.cat(seen).tolist() == [249] * 6


def test_an_unknown_law_is_one_sentence():
    with pytest.raises(UsageError, match="unknown law of times 'sigmod': did you mean 'sigmoid'"):
        times.check("sigmod")
