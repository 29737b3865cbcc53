import pytest
import torch
from scipy.stats import chisquare

from tiny import FAMILIES, build
from unlearnable.errors import UsageError
from unlearnable.models.schedule import from_scheduler
from unlearnable.protection.timesteps import LAWS, TimestepDistribution, draw, probabilities

KEYS = [str(i) for i in range(4000)]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("family", ["sd1", "sd3"])
def test_draws_follow_the_law(law, family):
    p = probabilities(law, from_scheduler(build(family).scheduler))
    assert float(p.sum()) == pytest.approx(1) and len(p) == 1000 and (p >= 0).all()
    t = draw(p, KEYS, law, family)
    assert t.min() >= 0 and t.max() <= 999
    bins = torch.arange(1000) // 100
    seen = torch.bincount(bins[t], minlength=10).double()
    expected = torch.zeros(10, dtype=torch.double).index_add(0, bins, p) * len(KEYS)
    keep = expected > 5
    seen, expected = (torch.cat([v[keep], v[~keep].sum()[None]]) for v in (seen, expected))
    wide = expected > 0
    assert chisquare(seen[wide], expected[wide] * (seen[wide].sum() / expected[wide].sum())).pvalue > 1e-3


@pytest.mark.parametrize("at", [0, 999])
def test_the_first_and_the_last_time_can_be_drawn(at):
    p = torch.zeros(1000, dtype=torch.double)
    p[at] = 1
    assert (draw(p, KEYS[:50], "edge") == at).all()


def test_laws_against_their_formulas():
    schedule = from_scheduler(build("sd1").scheduler)
    ab = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.double) ** 2, 0)
    by_hand = {
        "sqrt-ab": ab.sqrt(), "ab": ab, "ab-1-ab": ab * (1 - ab), "ab2-1-ab": ab**2 * (1 - ab),
        "snr": (ab / (1 - ab)).sqrt().clamp(max=10),
    }  # fmt: skip
    for law, weight in by_hand.items():
        torch.testing.assert_close(probabilities(law, schedule), weight / weight.sum(), atol=1e-7, rtol=1e-4)


def test_unknown_law_is_refused():
    with pytest.raises(UsageError, match=r"unknown timestep law 'abc'.*uniform"):
        probabilities("abc", from_scheduler(build(FAMILIES[0]).scheduler))
    with pytest.raises(UsageError, match=r"'measured' is measured on a data set: add --surrogate"):
        probabilities("measured", from_scheduler(build(FAMILIES[0]).scheduler))
    with pytest.raises(UsageError, match=r"unknown timestep law 'snt': did you mean 'snr'"):
        TimestepDistribution("snt")
    with pytest.raises(UsageError, match="holds no time"):
        TimestepDistribution(span=(0.5, 0.5)).probabilities(from_scheduler(build(FAMILIES[0]).scheduler))


def test_strata_cover_the_law_and_pairs_have_opposite_noise():
    """All strata together are draws of p(t), each within its own part; a single draw's mean is the law's."""
    p = probabilities("ab", from_scheduler(build("sd1").scheduler))
    edges = p.cumsum(0)
    seen = []
    for i in range(4):
        t, _ = TimestepDistribution(stratified=True).sample(p, KEYS[:2000], (1,), (0, 0), i, 4)
        assert (edges[t] >= i / 4 - 1e-9).all() and (edges[t] - p[t] <= (i + 1) / 4 + 1e-9).all()
        seen.append(t)
    tenths = torch.bincount((edges[torch.cat(seen)] * 10).long().clamp_max(9), minlength=10)
    assert chisquare(tenths.double()).pvalue > 1e-3
    both = TimestepDistribution(stratified=True, antithetic=True)
    pair = [both.sample(p, KEYS[:3], (2, 4), (7, 1), i, 4) for i in range(4)]
    for even, odd in ((0, 1), (2, 3)):
        assert torch.equal(pair[even][0], pair[odd][0]) and torch.equal(pair[even][1], -pair[odd][1])
    assert not torch.equal(pair[0][1], pair[2][1]) and (pair[0][0] <= pair[2][0]).all()


def test_variance_reduction_keeps_the_mean_and_lowers_the_variance():
    """Of a known function of (t, noise): its mean over p(t) in closed form, and fewer errors around it."""
    p = probabilities("uniform", from_scheduler(build("sd1").scheduler))
    exact = float((p * torch.arange(1000)).sum() / 1000)  # E[t / 1000 + noise]

    def errors(**how):
        draws = [TimestepDistribution(**how).sample(p, KEYS[:1000], (), (3, 0), i, 4) for i in range(4)]
        return sum(t.double() / 1000 + noise for t, noise in draws) / 4 - exact

    plain, better = errors(), errors(stratified=True, antithetic=True)
    for found in (plain, better):
        assert abs(float(found.mean())) < 4 * float(found.std()) / 1000**0.5
    assert float(better.std()) < 0.3 * float(plain.std())
