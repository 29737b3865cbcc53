import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from unlearnable.errors import UsageError
from unlearnable.images.files import Picture
from unlearnable.protection import sealing as work
from unlearnable.protection.constraints import L2Constraint, LinfConstraint, psnr, psnr_of
from unlearnable.protection.visibility import box, texture
from unlearnable.rng import generator

x = (torch.rand(2, 3, 12, 10, generator=generator("x")) * 255).round() / 255
wild = torch.randn(2, 3, 12, 10, generator=generator("wild"))


@pytest.mark.parametrize(
    "constraint",
    [LinfConstraint(8), LinfConstraint(4.5), L2Constraint(3.0), psnr(36.1), LinfConstraint(0), L2Constraint(0)],
)
def test_projection_is_allowed_and_stays(constraint):
    once = constraint.project(x, wild)
    assert ((x + once) >= 0).all() and ((x + once) <= 1).all()
    for row in once * 255:
        norm = row.abs().max() if isinstance(constraint, LinfConstraint) else row.square().mean().sqrt()
        assert norm <= constraint.radius + 1e-4
    torch.testing.assert_close(constraint.project(x, once), once, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    "constraint", [LinfConstraint(8), LinfConstraint(4.5), LinfConstraint(6.375), L2Constraint(3.0), psnr(36.1)]
)
def test_direction_is_the_steepest_of_its_size(constraint):
    """Among many unit moves, none gains more than `direction` does (to first order)."""
    gradient = wild[:1]
    ours = float((gradient * constraint.direction(gradient)).sum())
    for i in range(50):
        other = torch.randn(gradient.shape, generator=generator("move", i))
        other = other.sign() if isinstance(constraint, LinfConstraint) else other / other.square().mean().sqrt()
        assert float((gradient * other).sum()) <= ours


@pytest.mark.parametrize("eps", [0, 0.5, 1, 4.5, 6.375, 7.65, 8, 16])
def test_sealed_linf_against_exact_arithmetic(eps):
    levels, delta = (x[0] * 255).round(), LinfConstraint(eps).project(x, wild)[0] * 255
    sealed = LinfConstraint(eps).seal(levels, delta)
    assert torch.equal(sealed, sealed.round())
    assert int(sealed.abs().max()) <= math.floor(eps)
    full = LinfConstraint(eps).seal(torch.full_like(levels, 128), torch.full_like(levels, eps))
    assert (full == math.floor(eps)).all(), "a whole budget must not lose a level to round-off"


@pytest.mark.parametrize("decibel", [30, 36.1, 42])
def test_sealed_psnr_is_met_and_used(decibel):
    from skimage.metrics import peak_signal_noise_ratio

    before = np.random.default_rng(0).integers(40, 210, (64, 48, 3)).astype(np.uint8)
    delta = torch.randn(3, 64, 48, generator=generator("d")) * 0.2
    after = work.seal(Picture(before), delta, torch.ones(1, 64, 48), psnr(decibel))
    found = peak_signal_noise_ratio(before, after.pixels)
    assert decibel <= found < decibel + 0.3
    assert work.measure(Picture(before), after)["psnr"] == pytest.approx(found, abs=1e-3)
    assert psnr_of(psnr(decibel).rms) == pytest.approx(decibel)


def test_mask_and_transparent_parts_do_not_change():
    pixels = np.full((20, 30, 3), 100, np.uint8)
    alpha = np.full((20, 30), 255, np.uint8)
    alpha[:, :10] = 0
    picture = Picture(pixels, alpha=alpha)
    after = work.seal(picture, torch.full((3, 20, 30), 0.5), work.masked(picture, None), LinfConstraint(8))
    assert (after.pixels[:, :10] == 100).all() and (after.pixels[:, 10:] == 108).all()


def test_smooth_parts_get_less_of_the_budget():
    """Left half flat, right half rough: a change of the whole budget stays whole where texture hides it."""
    pixels = np.full((40, 80, 3), 120, np.uint8)
    pixels[:, 40:] = np.random.default_rng(0).integers(60, 180, (40, 40, 1))
    wanted = 8 * torch.randn(3, 40, 80, generator=generator("d")).sign()
    after = work.seal(Picture(pixels), wanted / 255, torch.ones(1, 40, 80), LinfConstraint(8, local=True))
    change = np.abs(after.pixels.astype(int) - pixels)
    assert change[:, :36].max() <= 0.8 * 8 * 2 / 3 + 1 < 6 < change[:, 50:].mean() <= change.max() <= 8
    assert change[:, :36].mean() < 4
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    once = LinfConstraint(8, local=True).project(x, wanted[None] / 255)
    assert once.abs().max() <= 8 / 255 + 1e-6 and once[..., :36].abs().max() < once[..., 50:].abs().max()


def test_texture_is_detail_that_has_detail_all_around():
    """A flat place, an edge and the flat place beside it hide nothing; rough cloth does."""
    x = torch.full((1, 3, 48, 96), 0.4)
    x[..., 24:48] = 0.8  # an edge at 24
    x[..., 48:] = torch.rand(1, 1, 48, 48, generator=generator("cloth"))
    found = texture(x)
    assert found[..., :40].max() < 0.2, "not beside an edge, and not on it"  # float32 leaves 0.06 of a level
    assert found[..., 60:84].min() > 25


@pytest.mark.parametrize("side", [5, 17])
def test_means_against_scipy(side):
    picture = torch.randn(1, 3, 40, 33, generator=generator("b"))
    expected = [ndimage.uniform_filter(channel, side, mode="nearest") for channel in picture[0].double().numpy()]
    np.testing.assert_allclose(box(picture, side)[0].numpy(), np.stack(expected), atol=1e-6)


def test_a_local_direction_gains_more_where_more_may_change():
    """It is the steepest ascent in samples measured by what each may change, up to its length."""
    pixels = torch.rand(1, 3, 32, 64, generator=generator("p"))
    pixels[..., :32] = 0.5
    constraint = psnr(36.1, local=True)
    seen, gradient = constraint.limits(pixels), torch.randn(1, 3, 32, 64, generator=generator("g"))
    ours = constraint.direction(gradient, seen)
    unit = ours / seen.sample
    for i in range(30):
        other = torch.randn(gradient.shape, generator=generator("move", i))
        other = other / other.norm() * unit.norm()
        assert float((gradient * seen.sample * other).sum()) <= float((gradient * ours).sum())
    assert 0.3 < float(ours.square().mean().sqrt()) < 10, "steps are in units of the budget"


@pytest.mark.parametrize(
    "make",
    [
        lambda: LinfConstraint(-1),
        lambda: LinfConstraint(256),
        lambda: L2Constraint(-1),
        lambda: psnr(5),
        lambda: psnr(200),
    ],
)
def test_impossible_budgets_are_refused(make):
    with pytest.raises(UsageError, match="out of range: give"):
        make()


@pytest.mark.parametrize("constraint", [L2Constraint(4.0), LinfConstraint(4)])
def test_a_projection_of_no_change_has_a_gradient(constraint):
    delta = torch.zeros(2, 3, 4, 4, requires_grad=True)
    constraint.project(torch.full_like(delta, 0.5), delta).sum().backward()
    assert torch.isfinite(delta.grad).all()
