"""Budgets are per pixel that may change, and bounded everywhere by what people see; against plain numpy."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tiny import PROMPT, fitted, pictures
from unlearnable.images.files import Picture
from unlearnable.models.features import distance
from unlearnable.protection import sealing as work
from unlearnable.protection import strengths
from unlearnable.protection.constraints import L2Constraint, LinfConstraint, psnr
from unlearnable.protection.perceptual import PerceptualConstraint, network
from unlearnable.protection.visibility import BAND, COLOUR, WIDE, limits
from unlearnable.recipe import Recipe
from unlearnable.rng import generator

SIDE = 64


def mask_of(pixels):
    mask = torch.zeros(1, 1, SIDE, SIDE)
    side = round(pixels**0.5)
    mask[..., 8 : 8 + side, 8 : 8 + side] = 1
    return mask


def inside(change, mask):
    """Root mean square in 1/255 over the samples that may change, by numpy."""
    kept = change.numpy()[np.broadcast_to(mask.numpy() > 0, change.shape)]
    return float(np.sqrt(np.square(kept.astype(np.float64)).mean())) if kept.size else 0.0


@pytest.mark.parametrize("pixels", [SIDE**2, SIDE**2 // 16, SIDE**2 // 256, 1, 0])
@pytest.mark.parametrize(
    "constraint", [psnr(36.1), L2Constraint(3.0), psnr(36.1, local=True), LinfConstraint(6), PerceptualConstraint(0.2)]
)
def test_a_budget_is_per_pixel_that_may_change(constraint, pixels):
    x, mask = pictures(1, seed=2, side=SIDE), mask_of(pixels)
    wild = torch.randn(x.shape, generator=generator("wild"))
    sealed = constraint.seal((x[0] * 255).round(), constraint.project(x, wild, mask)[0] * 255, mask[0])
    outside = sealed[:, mask[0, 0] == 0]
    assert not outside.any() and constraint.is_satisfied(sealed, (x[0] * 255).round(), mask[0])
    spent = inside(sealed, mask[0])
    assert spent <= constraint.radius + 1e-6
    if pixels >= 16 and not isinstance(constraint, PerceptualConstraint):
        assert spent > 0.75 * constraint.radius, "and it is used"
    if isinstance(constraint, PerceptualConstraint) and pixels:
        y = x + sealed[None] / 255
        assert float(distance(x, y, network(x.device))) <= constraint.bound * pixels / SIDE**2 + 1e-6


@pytest.mark.parametrize("method", ["advdm", "photoguard", "ldu", "random", "desaturate"])
def test_methods_keep_their_budget_inside_a_small_mask(method):
    x, mask = pictures(1, seed=2, side=SIDE), mask_of(SIDE**2 // 16)
    options = "rounds=2" if method == "ldu" else ""
    protection = Recipe(method=method, psnr=36.1, steps=4, options=options, prompt=PROMPT).protection()
    y = protection(fitted("sd1"), x, prompt=PROMPT, mask=mask)
    assert inside((y - x)[0] * 255, mask[0]) <= 255 * 10 ** (-36.1 / 20) + 1e-3


def test_clear_pixels_count_as_masked():
    pixels, alpha = np.full((SIDE, SIDE, 3), 120, np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    alpha[:16, :16] = 255
    picture = Picture(pixels, alpha=alpha)
    mask = work.masked(picture, None)
    after = work.seal(picture, torch.randn(3, SIDE, SIDE, generator=generator("d")), mask, psnr(36.1))
    measured = work.measure(picture, after, mask)
    change = after.pixels[:16, :16].astype(float) - 120
    assert measured["psnr_inside"] == pytest.approx(20 * np.log10(255 / np.sqrt((change**2).mean())), abs=1e-3)
    assert 36.1 <= measured["psnr_inside"] < 36.6 < measured["psnr"]


def window_means(change, side):
    """Means over `side` px squared with repeated edges, by looking at every pixel."""
    reach = side // 2
    padded = np.pad(change, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    rows = range(change.shape[1])
    means = [[padded[:, i : i + side, j : j + side].mean((1, 2)) for j in rows] for i in rows]
    return np.array(means).transpose(2, 0, 1)


def product():
    """A yellow disc with a few dark parts on white: what made a stain of 67/255 with a budget for the whole alone."""
    rows, cols = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    x = torch.full((1, 3, SIDE, SIDE), 0.97)
    disc = (rows - 32) ** 2 + (cols - 32) ** 2 < 20**2
    x[0, :, disc] = torch.tensor([0.95, 0.8, 0.1])[:, None]
    x[0, :, 28:34, 24:40] = 0.05
    return x


@pytest.mark.parametrize(
    "constraint",
    [
        psnr(36.1, local=True),
        psnr(30.1, local=True),
        PerceptualConstraint(0.3, 10, local=True),
        LinfConstraint(8, local=True),
    ],
)
def test_no_stain(constraint):
    """All of a change wants to go green, in the dark parts first: samples and means stay within their bounds."""
    x = product()
    levels = (x[0] * 255).round()
    wanted = torch.zeros_like(x)
    wanted[:, 1] = 2 * (1 - x[:, 1]) + 0.2
    sealed = constraint.seal(levels, constraint.project(x, wanted)[0] * 255)
    rms = 2 / 3 * constraint.eps if isinstance(constraint, LinfConstraint) else constraint.radius
    bound = limits(levels[None] / 255, rms / 255)
    change = sealed.numpy().astype(float)
    assert (np.abs(change) <= 255 * bound.sample[0].numpy() + 1).all()
    for side, limit in ((BAND, bound.middle), (WIDE, bound.slow)):
        means = window_means(change, side)
        assert (np.abs(means) <= 255 * limit[0].numpy() + 1 + 1e-4).all()
        assert (np.abs(means - means.mean(0)) <= 255 * COLOUR * limit[0].numpy() + 1 + 1e-4).all()
    assert constraint.is_satisfied(sealed, levels) and sealed.any()
    unbounded = replace(constraint, local=False)
    whole = unbounded.seal(levels, unbounded.project(x, wanted)[0] * 255)
    assert not constraint.is_satisfied(whole, levels), "which a budget for the whole alone would allow"


@pytest.mark.parametrize("seed", range(4))
def test_noise_on_a_photograph_like_picture_uses_its_budget(seed):
    x = pictures(1, seed=seed, side=SIDE)
    levels = (x[0] * 255).round()
    delta = torch.randn(x.shape, generator=generator("noise", seed))
    constraint = psnr(36.1, local=True)
    sealed = constraint.seal(levels, constraint.project(x, delta)[0] * 255)
    assert inside(sealed, torch.ones(1, SIDE, SIDE)) > 0.9 * constraint.rms


def test_strengths_are_bounded_locally_and_papers_are_not():
    assert strengths.protection("ldu").constraint.local and not strengths.protection("ldu", "paper").constraint.local
    assert Recipe(method="advdm", psnr=36.1).protection().constraint.local
    assert not Recipe(method="advdm", psnr=36.1, strength="paper").protection().constraint.local
    assert Recipe(method="advdm", perceptual=0.2).protection().constraint.local
