"""Large pictures strip by strip: as if they were done in one piece."""

import pytest
import torch
from torch.testing import assert_close

from unlearnable.protection import strips
from unlearnable.protection.constraints import GRID, L2Constraint, LinfConstraint
from unlearnable.protection.visibility import BAND, WIDE, Limits, box, largest, limits, within
from unlearnable.rng import generator


def draw(*shape):
    return torch.rand(shape, generator=generator("strips"))


def whole(limits: Limits, delta, passes):
    """`Limits.clip` as its definition says, on the whole picture."""
    for _ in range(passes):
        for limit, side in ((limits.slow, WIDE), (limits.middle, BAND)):
            mean = box(delta, side)
            delta = delta - (mean - within(mean, limit))
        delta = delta.clamp(-limits.sample, limits.sample)
    return delta


@pytest.mark.parametrize("height, width", [(97, 131), (33, 400), (400, 33)])
def test_clipping_in_strips_is_clipping(monkeypatch, height, width):
    monkeypatch.setattr(strips, "LARGE", 4000)
    assert len(list(strips.rows(height, width))) > 1
    x, delta = draw(1, 3, height, width), draw(1, 3, height, width) - 0.4
    bounds = limits(x, 4 / 255)
    assert_close(bounds.clip(delta, 3), whole(bounds, delta, 3), rtol=0, atol=1e-6)
    monkeypatch.setattr(strips, "LARGE", 2**30)
    assert_close(limits(x, 4 / 255).slow, bounds.slow)
    wide = largest(delta)
    monkeypatch.setattr(strips, "LARGE", 4000)
    assert largest(delta) == pytest.approx(wide, abs=1e-6)


def test_a_gradient_goes_through_the_whole(monkeypatch):
    monkeypatch.setattr(strips, "LARGE", 4000)
    bounds, delta = limits(draw(1, 3, 97, 131), 4 / 255), (draw(1, 3, 97, 131) * 0.02).requires_grad_(True)
    (first,) = torch.autograd.grad(bounds.clip(delta).square().sum(), delta)
    (second,) = torch.autograd.grad(whole(bounds, delta, 2).square().sum(), delta)
    assert first.abs().sum() > 0 and torch.equal(first, second)


@pytest.mark.parametrize(
    "constraint", [L2Constraint(4.0, local=True), L2Constraint(4.0), LinfConstraint(6, local=True)]
)
def test_sealing_in_strips_is_sealing(monkeypatch, constraint):
    x = (255 * draw(3, 97, 131)).round()
    delta, mask = 20 * (draw(3, 97, 131) - 0.4), (draw(1, 97, 131) > 0.3).float()
    expected = constraint.seal(x, delta, mask)
    monkeypatch.setattr(strips, "LARGE", 4000)
    sealed = constraint.seal(x, delta, mask)
    assert ((sealed - expected).abs() > 0).float().mean() < 1e-3  # the last bit may tip a sample
    assert constraint.is_satisfied(sealed, x, mask) and not constraint.is_satisfied(3 * sealed, x, mask)
    assert (x + sealed).max() <= GRID and (x + sealed).min() >= 0
