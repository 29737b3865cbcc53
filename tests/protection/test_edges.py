"""HF-ADB's budget against a Laplacian by loops over pixels."""

import numpy as np
import pytest
import torch

from tiny import PROMPT, fitted, pictures
from unlearnable.errors import UsageError
from unlearnable.protection.edges import EdgeConstraint, edges
from unlearnable.recipe import Recipe
from unlearnable.rng import generator


def slow_mask(x, share):
    """The share of pixels with the largest Laplacian of the channels' sum, by looking at every pixel."""
    grey = (x.numpy() * 255).round().sum(0)
    padded = np.pad(grey, 1, mode="edge")
    size = np.zeros_like(grey)
    for i in range(grey.shape[0]):
        for j in range(grey.shape[1]):
            around = padded[i, j + 1] + padded[i + 2, j + 1] + padded[i + 1, j] + padded[i + 1, j + 2]
            size[i, j] = abs(around - 4 * grey[i, j])
    least = sorted(size.ravel())[-round(share * size.size)]
    return size >= least


def test_the_mask_and_the_budget_by_hand():
    x = pictures(2, seed=2, side=64)
    found, constraint = edges(x, 0.03), EdgeConstraint(64, 1.3)
    wild = torch.randn(x.shape, generator=generator("wild"))
    moved = constraint.project(x, wild)
    for picture, mask, delta in zip(x, found, moved):
        expected = slow_mask(picture, 0.03)
        assert np.array_equal(mask[0].numpy(), expected) and 0.03 <= expected.mean() < 0.06
        levels = (picture * 255).round()
        sealed = constraint.seal(levels, 255 * delta)
        assert constraint.is_satisfied(sealed, levels) and torch.equal(sealed, sealed.round())
        size = sealed.abs().numpy().max(0)
        assert 32 < size[expected].max() <= 64 and size[~expected].max() == 1
        assert not constraint.is_satisfied(2 * sealed, levels)
    free = torch.zeros(2, 1, 64, 64)
    assert not constraint.project(x, wild, free).any()
    assert not edges(torch.full((1, 3, 8, 8), 0.5), 0.03).any(), "a flat picture has no edges"


def test_any_method_may_have_it():
    settings = Recipe(method="advdm", strength="paper", options="edges=true", steps=3).protection()
    x = pictures(1, seed=2)
    y = settings(fitted("sd1"), x, prompt=PROMPT)
    size = 255 * (y - x).abs().amax(1, keepdim=True)
    assert size[edges(x, 0.03)].max() > 5 and size[~edges(x, 0.03)].max() <= 1.3 + 1e-3


@pytest.mark.parametrize("bad", [{"eps": 300}, {"outside": 65}, {"share": 0}])
def test_bad_budgets_are_one_sentence(bad):
    with pytest.raises(UsageError, match="out of range"):
        EdgeConstraint(**{"eps": 64, "outside": 1.3, **bad})
