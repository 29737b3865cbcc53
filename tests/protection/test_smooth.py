"""BlurGuard's regions: scipy's blur, a known spectrum, the adjoint, and a step by hand."""

import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from tiny import PROMPT, fitted, pictures
from unlearnable.protection.adjust import adjusted
from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.objectives import Objective
from unlearnable.protection.parameterisation import Pixels
from unlearnable.protection.smooth import REGION, SIGMAS, chosen, gaussian, smoothed
from unlearnable.protection.strengths import protection
from unlearnable.rng import generator


def scipys(x, sigma):
    y = x.double().numpy()
    for axis in (2, 3):
        y = gaussian_filter1d(y, sigma, axis=axis, mode="nearest", truncate=4)
    return torch.from_numpy(y)


@pytest.mark.parametrize("sigma", SIGMAS[1:])
def test_the_blur_against_scipy(sigma):
    x = pictures(2, seed=3)
    torch.testing.assert_close(gaussian(x, sigma).double(), scipys(x, sigma), atol=1e-5, rtol=0)


def test_noise_of_a_known_blur_is_recognised_region_by_region():
    """Left half white noise, right half the same noise blurred: each region but those at the seam says which it is."""
    noise = torch.randn(1, 3, 64, 128, generator=generator("spectrum"))
    for i in (2, 4):
        x = torch.cat([noise[..., :64], scipys(noise, SIGMAS[i])[..., 64:].float()], 3)
        masks = chosen(x)
        assert torch.equal(masks.sum(0), torch.ones(1, 1, 64, 128)), "one blur a pixel"
        left, right = masks[0, 0, 0, :, : 64 - REGION], masks[i - 1 : i + 2, 0, 0, :, 64 + REGION :].sum(0)
        assert left.mean() == 1 and right.mean() == 1
    flat = chosen(pictures(1, seed=1, side=64))
    assert flat[:2].mean() < flat[2:].mean(), "pictures are smoother than noise"


def test_a_step_by_hand_and_the_adjoint():
    """One ascent on a linear objective g . x: raw noise goes up the sign of the blur's transpose of g."""
    x, shape = 0.3 + 0.4 * pictures(1, seed=5), (1, 3, 32, 32)
    g, a = (torch.randn(shape, generator=generator(name)) for name in ("g", "a"))
    masks = chosen(x)
    a.requires_grad_(True)
    transposed = torch.autograd.grad((smoothed(a, masks) * g).sum(), a)[0]
    b = torch.randn(shape, generator=generator("b"))
    assert float((smoothed(b, masks) * g).sum()) == pytest.approx(float((b * transposed).sum()), rel=1e-3, abs=1e-3)
    linear = Objective(lambda model, x, batch: (x * g).flatten(1).sum(1))
    settings = Protection("t", linear, LinfConstraint(16), Pixels(0.5, "zero", blur=True), steps=3)
    ours = settings(fitted("sd1"), x) - x
    raw = torch.zeros(shape)
    for _ in range(3):
        raw = (raw + 0.5 * 16 / 255 * transposed.sign()).clamp(-16 / 255, 16 / 255)
    assert ((ours - smoothed(raw, masks)).abs() < 1e-6).float().mean() > 0.99


def test_any_pixel_method_may_have_it():
    model, x = fitted("sd1"), pictures(1, seed=7)
    sharp = adjusted(protection("photoguard", "paper"), steps=6)
    soft = adjusted(sharp, blur=True)
    changes = [settings(model, x) - x for settings in (sharp, soft)]
    rough, even = (float(d.diff(dim=-1).square().mean() / d.square().mean()) for d in changes)
    assert even < 0.7 * rough
    assert float(soft.evaluate(model, soft(model, x, prompt=PROMPT)).mean()) > float(soft.evaluate(model, x).mean())
