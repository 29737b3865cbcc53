"""Whether an attacker learned: on fitted models, and the arithmetic of the rate by hand."""

import math

import pytest
import torch
from scipy import stats

from tiny import PROMPT, fitted, pictures
from unlearnable.errors import UsageError
from unlearnable.metrics.subject import held_out_loss, protection_rate, rank, similarity
from unlearnable.models.finetune.training import FineTune, fine_tune


def test_rate_is_the_ratio_of_means():
    clean, left, gain = (torch.tensor(row) for row in ([1.0, 2, 3, 4], [1.0, 0.5, 0.9, 1.2], [2.0, 1.5, 1.8, 2.2]))
    found = protection_rate(clean, clean + left, clean + gain)
    assert found.mean == pytest.approx(3.6 / 7.5)
    for end in found.interval():  # where a t test of the residuals is just not told from zero
        assert stats.ttest_1samp((left - end * gain).numpy(), 0).pvalue == pytest.approx(0.05, abs=1e-4)


def test_rate_at_its_ends():
    clean, untouched = torch.tensor([0.1, 0.2, 0.15]), torch.tensor([0.3, 0.35, 0.4])
    assert protection_rate(clean, clean, untouched).mean == 0
    assert protection_rate(clean, untouched, untouched).mean == 1
    worse = protection_rate(clean, untouched + 0.1, untouched)
    assert worse.mean > 1 and worse.higher_is_better and worse.interval()[0] > 1


def test_pairing_makes_the_interval_narrow():
    level = torch.linspace(0.1, 2, 12)  # photographs differ far more than attackers do
    found = protection_rate(level, level + 0.005, level + 0.01)
    assert found.interval() == pytest.approx((0.5, 0.5), abs=1e-4)


@pytest.mark.parametrize("gains", [[-0.1, -0.2, -0.1], [0.0, 0.0, 0.0], [0.3, -0.2, -0.05]])
def test_undefined_where_the_attacker_did_not_learn(gains):
    clean = torch.tensor([0.5, 0.6, 0.7])
    found = protection_rate(clean, clean + 0.1, clean + torch.tensor(gains))
    assert math.isnan(found.mean) and all(map(math.isnan, found.interval()))
    assert "did not learn the clean pictures" in found.note


def test_one_held_out_picture_has_a_rate_and_no_interval():
    found = protection_rate(torch.tensor([1.0]), torch.tensor([1.5]), torch.tensor([2.0]))
    assert found.mean == 0.5 and all(map(math.isnan, found.interval())) and "no interval" in found.note


@pytest.mark.parametrize(
    ("counts", "sentence"), [((3, 2, 3), r"there are \[3, 2, 3\] of them"), ((0, 0, 0), "of the same pictures")]
)
def test_losses_must_pair(counts, sentence):
    with pytest.raises(UsageError, match=sentence):
        protection_rate(*(torch.zeros(count) for count in counts))


def test_diverged_attackers_are_named():
    ok = torch.tensor([1.0, 2.0])
    with pytest.raises(UsageError, match="training diverged"):
        protection_rate(ok, torch.tensor([1.0, torch.nan]), ok)


def test_loss_falls_on_the_subject_that_was_learned_and_the_rate_tells_a_spoiled_training_set():
    model = fitted("ddpm")
    subject = pictures(1, seed=77, side=16).expand(4, -1, -1, -1)
    noise = torch.rand(subject.shape, generator=torch.Generator().manual_seed(0))
    brightness = torch.tensor([0.85, 0.95, 1.05]).view(3, 1, 1, 1)
    held_out = (subject[:3] * brightness).clamp(0, 1)
    training = FineTune(40, lr=1e-3)
    clean = fine_tune(model, subject, PROMPT, training)
    spoiled = fine_tune(model, noise, PROMPT, training)  # the most protected pictures there are
    losses = [held_out_loss(m, held_out, PROMPT, draws=8) for m in (clean, spoiled, model)]
    assert losses[0].shape == (3,) and (losses[0] < losses[2]).all()
    assert torch.equal(losses[0], held_out_loss(clean, held_out, PROMPT, draws=8))
    assert protection_rate(*losses).mean > 0.9


def test_similarity_by_loops_and_centred():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(3, 5, generator=generator), torch.randn(4, 5, generator=generator)
    cosine = torch.nn.CosineSimilarity(0)
    expected = [sum(cosine(x, y).item() for y in b) / 4 for x in a]
    assert similarity(a, b).tolist() == pytest.approx(expected)
    common = 100 * torch.ones(5)
    assert similarity(a + common, b + common).min() > 0.99  # what a weak network does to cosines
    assert similarity(a + common, b + common, centre=common).tolist() == pytest.approx(expected, abs=1e-4)
    with pytest.raises(UsageError, match="features"):
        similarity(a, torch.zeros(0, 5))


def test_rank_puts_the_generated_subject_first():
    generator = torch.Generator().manual_seed(0)
    centres = {name: torch.randn(16, generator=generator) for name in ("cat", "dog", "mug")}
    subjects = {name: c + 0.3 * torch.randn(5, 16, generator=generator) for name, c in centres.items()}
    generated = centres["dog"] + 0.3 * torch.randn(6, 16, generator=generator)
    found = rank(generated, subjects)
    assert [found[0][0], len(found)] == ["dog", 3] and found[0][1] > found[1][1] >= found[2][1]
    assert found[0][1] == pytest.approx(float(similarity(generated, subjects["dog"]).mean()))
