"""Countermeasures that work through a fitted autoencoder: round trip, IMPRESS and the adaptive attacker's encoder."""

from functools import cache

import pytest
import torch
from skimage.metrics import structural_similarity

from tiny import adapt, build, fit_autoencoder, pictures
from unlearnable.errors import UnlearnableError, UsageError
from unlearnable.protection import strengths
from unlearnable.protection.adjust import adjusted
from unlearnable.protection.constraints import LinfConstraint
from unlearnable.purification.adaptive import Adaptive, adapted
from unlearnable.purification.impress import Impress, dissimilarity, rms, within
from unlearnable.purification.vae import RoundTrip

PAIRS, HELD_OUT = slice(0, 24), slice(24, 32)
BUDGET = LinfConstraint(16)


@cache
def model():
    found = adapt(build("sd1"), "tiny")
    fit_autoencoder(found)
    return found


@cache
def data():
    """Clean pictures, their PhotoGuard twins, and the control: random noise of the same budget."""
    x = pictures(32, seed=5)
    photoguard = adjusted(strengths.protection("photoguard", "paper"), constraint=BUDGET, steps=20, step=0.15)
    random = adjusted(strengths.protection("random", "paper"), constraint=BUDGET)
    return x, photoguard(model(), x, prompt=""), random(model(), x)


@torch.no_grad()
def stock(x):
    """Through the autoencoder by diffusers alone."""
    posterior = model().vae.encode(2 * x - 1).latent_dist
    return (model().vae.decode(posterior.mode()).sample + 1) / 2


@torch.no_grad()
def inconsistency(x):
    return (x - stock(x)).square().flatten(1).mean(1)


def test_round_trip_is_diffusers_own():
    x = data()[0][:3]
    assert (RoundTrip(model=model())(x) - stock(x).clamp(0, 1)).abs().max() < 1e-5


@pytest.mark.parametrize(("distance", "bound"), [("ssim", 0.02), ("ssim", 0.1), ("rms", 0.02), ("rms", 0.1)])
def test_impress_is_more_consistent_and_keeps_its_bound(distance, bound):
    _, protected, _ = (x[:4] for x in data())
    y = Impress(bound, distance, steps=30, model=model())(protected)
    assert (inconsistency(y) < inconsistency(protected)).all()
    measured = {"ssim": dissimilarity, "rms": rms}[distance](y, protected)
    assert (measured <= bound + 1e-5).all() and (measured > 0.3 * bound).all()


def test_impress_beats_noise_of_the_same_size():
    x = data()[1][:4]
    y = Impress(0.03, "rms", steps=30, model=model())(x)
    control = x + rms(y, x).view(-1, 1, 1, 1) * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    assert (inconsistency(y) < 0.9 * inconsistency(control.clamp(0, 1))).all()


def test_the_first_step_of_impress_is_adams():
    """At the start the distance is below its bound, so only the inconsistency pulls; Adam's first step is its sign."""
    x = data()[1][:2].clone()
    y = Impress(0.5, "rms", steps=1, lr=0.01, model=model())(x)
    moved = x.clone().requires_grad_(True)
    posterior = model().vae.encode(2 * moved - 1).latent_dist
    loss = (moved - (model().vae.decode(posterior.mode()).sample + 1) / 2).square().flatten(1).mean(1).sum()
    (g,) = torch.autograd.grad(loss, moved)
    expected = (x - 0.01 * g / (g.abs() + 1e-8)).clamp(0, 1)
    assert (y - expected).abs().max() < 1e-4


def test_a_result_beyond_the_bound_is_drawn_back_straight():
    x = torch.full((2, 3, 8, 8), 0.5)
    y = x.clone()
    y[0] += 0.4
    y[1] += 0.1
    z = within(x, y, rms, 0.2)
    assert torch.allclose(z[0], x[0] + 0.2, atol=1e-5) and torch.equal(z[1], y[1])


def test_dissimilarity_is_scikit_images():
    x, y, _ = (pictures[:1] for pictures in data())
    options = {"gaussian_weights": True, "sigma": 1.5, "truncate": 2.0, "use_sample_covariance": False}
    planes = [structural_similarity(*(p[0, i].numpy() for p in (x, y)), data_range=1, **options) for i in range(3)]
    assert float(dissimilarity(y, x)) == pytest.approx(1 - sum(planes) / 3, rel=0.1)
    assert float(dissimilarity(x, x)) < 1e-6


def test_an_adapted_encoder_reads_held_out_protected_pictures_and_noise_does_not_teach_that():
    x, protected, noisy = data()
    untouched = {name: tensor.clone() for name, tensor in model().vae.state_dict().items()}
    settings = Adaptive(steps=60, lr=2e-3, batch=8)
    wise = adapted(model(), protected[PAIRS], x[PAIRS], settings, seed=1)
    fooled = adapted(model(), noisy[PAIRS], x[PAIRS], settings, seed=1)

    with torch.no_grad():
        goal = model().encode(x[HELD_OUT])
        errors = [(m.encode(protected[HELD_OUT]) - goal).square().mean() for m in (model(), fooled, wise)]
        kept = (wise.encode(x[HELD_OUT]) - goal).square().mean() / goal.var()
    assert errors[2] < 0.3 * errors[0] and errors[2] < 0.3 * errors[1], errors
    assert kept < 0.1, "the encoder forgot clean pictures"
    pure, plain = (RoundTrip(model=m)(protected[HELD_OUT]) for m in (wise, model()))
    assert (pure - x[HELD_OUT]).square().mean() < (plain - x[HELD_OUT]).square().mean()

    assert all(torch.equal(tensor, untouched[name]) for name, tensor in model().vae.state_dict().items())
    assert model().pipe.vae is model().vae and wise.pipe.vae is wise.vae is not model().vae
    assert wise.denoiser is model().denoiser and not any(p.requires_grad for p in wise.vae.parameters())
    for name, tensor in wise.vae.state_dict().items():
        assert name.startswith(("encoder.", "quant_conv.")) or torch.equal(tensor, untouched[name])


def test_adapting_is_repeatable_and_none_is_a_copy():
    x, protected, _ = data()
    twins = [adapted(model(), protected[:8], x[:8], Adaptive(3, 1e-3, 4), seed=2) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*(t.vae.state_dict().values() for t in twins)))
    same = adapted(model(), protected[:8], x[:8], Adaptive(steps=0))
    assert torch.equal(same.encode(x[:2]), model().encode(x[:2])) and same.vae is not model().vae


def test_pairs_that_do_not_fit_are_one_sentence():
    x = data()[0]
    with pytest.raises(UsageError, match="give one of each picture"):
        adapted(model(), x[:2], x[:3])
    with pytest.raises(UsageError, match="give one of each picture"):
        adapted(model(), x[:0], x[:0])
    with pytest.raises(UsageError, match="sides must be multiples of 4"):
        adapted(model(), x[..., :30], x[..., :30])
    with pytest.raises(UsageError, match="'tiny-ddpm' has no autoencoder"):
        adapted(adapt(build("ddpm"), "tiny-ddpm"), x, x)
    with pytest.raises(UnlearnableError, match="diverged at step 0: lower the learning rate"):
        adapted(model(), x[:1] * float("nan"), x[:1], Adaptive(1))
    with pytest.raises(UsageError, match="number of steps -1 is out of range"):
        Adaptive(steps=-1)
