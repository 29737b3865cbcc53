"""Objectives about edits and styles, against DDIM written out in float64, scipy's DCT and numpy."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import scipy.fft
import torch

from tiny import PROMPT, fitted, pictures
from unlearnable.protection.edits import EditedTo, FirstPrediction, InversionShift
from unlearnable.protection.goals import Inverted, Picture, Redrawn
from unlearnable.protection.objectives import Batch, Objective
from unlearnable.protection.purifying import Unpurified, high
from unlearnable.protection.styles import Styles, StyleShift
from unlearnable.protection.transforms import window
from unlearnable.rng import normal, plain


class ByHand:
    """Stable Diffusion's parts in float64, and a DDIM move (arXiv 2010.02502, eq. 12, eta 0) between any two times."""

    def __init__(self, model, prompt=PROMPT):
        self.net, self.vae = copy.deepcopy(model.pipe.unet).double(), copy.deepcopy(model.pipe.vae).double()
        self.text = model.pipe.encode_prompt([prompt], "cpu", 1, False)[0].double()
        self.ab = model.pipe.scheduler.alphas_cumprod.double()

    def alpha(self, t):
        return self.ab[max(t, 0)]  # without noise: that of the first time (set_alpha_to_one is off)

    def answer(self, z, t):
        return self.net(z, torch.full([len(z)], max(t, 0)), self.text.expand(len(z), -1, -1)).sample

    def move(self, z, t, s):
        eps, a, b = self.answer(z, t), self.alpha(t), self.alpha(s)
        return b.sqrt() * (z - (1 - a).sqrt() * eps) / a.sqrt() + (1 - b).sqrt() * eps

    def along(self, z, times):
        for t, s in pairwise(times):
            z = self.move(z, t, s)
        return z

    def encode(self, x):
        return self.vae.encode(2 * x.double() - 1).latent_dist.mean

    def noised(self, z, noise, t):
        return self.alpha(t).sqrt() * z + (1 - self.alpha(t)).sqrt() * noise.double()


@pytest.fixture
def scene():
    model, x = fitted("sd1"), pictures(2, seed=3)
    y = (x + 0.03 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    noise = normal(["a", "b"], (4, 8, 8), "n")
    return model, x, y, Batch(torch.tensor([100, 700]), noise, model.condition([PROMPT])), ByHand(model)


def close(ours, expected):
    torch.testing.assert_close(ours.double(), expected, atol=2e-4, rtol=2e-3)


def test_inversion_ends_elsewhere(scene):
    model, x, y, batch, hand = scene
    objective = Objective(InversionShift(10), goal=Inverted(10)).prepared(model, PROMPT)
    goal = objective.target(model, x)
    up = [-1, *range(99, 1000, 100)]
    close(goal, hand.along(hand.encode(x), up))
    ours = objective(model, y, Batch(batch.t, batch.noise, batch.condition, goal))
    expected = (hand.along(hand.encode(y), up) - hand.along(hand.encode(x), up)).square().flatten(1).mean(1)
    close(ours, expected)
    assert (expected > 1e-2).all()


def test_a_whole_edit(scene):
    model, x, y, batch, hand = scene
    objective = Objective(EditedTo(4, 0.8), goal=Picture("grey"))
    goal = objective.target(model, x)
    assert torch.equal(goal, torch.full_like(x, 0.5))
    ours = objective(model, y, Batch(batch.t, batch.noise, batch.condition, goal))
    z = hand.along(hand.noised(hand.encode(y), batch.noise, 799), [799, 599, 399, 199, -1])
    edited = (hand.vae.decode(z).sample + 1) / 2
    close(ours, -(edited - 0.5).square().flatten(1).mean(1))


def test_the_first_prediction_of_an_edit(scene):
    model, _, y, batch, hand = scene
    expected = hand.answer(hand.noised(hand.encode(y), batch.noise, 799), 799).square().flatten(1).mean(1)
    close(FirstPrediction(0.8)(model, y, batch), expected)


@pytest.mark.parametrize("strength, times", [(0.5, [499, 374, 249, 124, -1]), (1.0, [999, 749, 499, 249, -1])])
def test_a_redrawn_picture(scene, strength, times):
    model, x, y, _, _ = scene
    hand = ByHand(model, "a photo of a cat")
    goal = Redrawn("a photo of a cat", strength, 4)
    noise = normal(["target"], (4, 8, 8), "a photo of a cat").expand(2, -1, -1, -1)
    with torch.no_grad():
        drawn = (hand.vae.decode(hand.along(hand.noised(hand.encode(x), noise, times[0]), times)).sample + 1) / 2
        close(goal(model, x), hand.encode(drawn.clamp(0, 1)))
        assert torch.equal(goal(model, x, y[:1])[1], model.encode(y[:1])[0]), "a picture that was given replaces it"


def test_styles_against_numpy(scene):
    model, x, y, batch, hand = scene
    objective = Objective(StyleShift(0.1), goal=Styles("grey"))
    goal = objective.target(model, x)
    ours = objective(model, y, Batch(batch.t, batch.noise, batch.condition, goal))
    z, own, other = (hand.encode(p).detach().numpy() for p in (y, x, torch.full_like(x, 0.5)))

    def apart(a, b):
        return np.concatenate([a.mean((2, 3)) - b.mean((2, 3)), a.var((2, 3), ddof=1) - b.var((2, 3), ddof=1)], 1)

    shift = (apart(z, own) ** 2).mean(1) - (apart(z, other) ** 2).mean(1)
    loss = []
    for i, t in enumerate((100, 700)):
        z_t = hand.noised(hand.encode(y)[i : i + 1], batch.noise[i : i + 1], t)
        loss.append((hand.answer(z_t, t) - batch.noise[i]).square().mean())
    close(ours, torch.stack(loss) + 0.1 * torch.from_numpy(shift))


def test_patches_against_scipys_dct():
    z = torch.randn(2, 3, 20, 16, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    padded = np.pad(z.numpy(), ((0, 0), (0, 0), (0, 4), (0, 0)), mode="edge")
    ours = high(z).view(2, 3, 3, 2, 8, 8).numpy()
    mask = np.add.outer(np.arange(8), np.arange(8)) >= 8
    for i in range(3):
        for j in range(2):
            patch = padded[:, :, 8 * i : 8 * i + 8, 8 * j : 8 * j + 8]
            expected = scipy.fft.dctn(patch, axes=(2, 3), norm="ortho") * mask
            assert np.allclose(ours[:, :, i, j], expected, atol=1e-12)


def test_both_guidances_by_hand(scene):
    model, _, y, batch, hand = scene
    ours = Unpurified(0.5, 0.25)(model, y, batch)
    expected = []
    for i, t in enumerate((100, 700)):
        z = hand.encode(y)[i : i + 1]
        z_t = hand.noised(z, batch.noise[i : i + 1], t)
        eps, wrong = hand.answer(z_t, t), hand.answer(z_t, 999 - t)
        clean = (z_t - (1 - hand.alpha(t)).sqrt() * eps) / hand.alpha(t).sqrt()
        removed = scipy.fft.dctn((clean - z).detach().numpy(), axes=(2, 3), norm="ortho")
        removed *= np.add.outer(np.arange(8), np.arange(8)) >= 8
        loss = (eps - batch.noise[i]).square().mean()
        expected.append(loss - 0.5 * (removed**2).mean() - 0.25 * (eps - wrong).square().mean())
    close(ours, torch.stack(expected))


def test_a_window_keeps_a_part_in_its_place():
    x = pictures(1, seed=4)
    sizes = set()
    for i in range(20):
        y = window(x, plain("w", i))
        kept = (y == x).all(1)[0]
        rows, cols = kept.any(1).nonzero(), kept.any(0).nonzero()
        box = kept[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        sizes.add(box.shape)
        assert 16 <= box.shape[0] <= 32 and (y[:, :, ~kept] == 0.5).all()
    assert len(sizes) > 5
