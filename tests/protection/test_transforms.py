import io
import random

import numpy as np
import pytest
import torch
from PIL import Image

from tiny import pictures
from unlearnable.protection import transforms
from unlearnable.rng import plain

x = pictures(2, seed=4, side=48)


@pytest.mark.parametrize("name", transforms.NAMES)
def test_keeps_shape_range_and_gradient(name):
    z = x.clone().requires_grad_(True)
    y = transforms.NAMES[name](z, random.Random(1))
    assert y.shape == x.shape and y.min() > -0.1 and y.max() < 1.1
    y.square().sum().backward()
    assert z.grad.isfinite().all() and z.grad.abs().sum() > 0


@pytest.mark.parametrize("quality", [60, 75, 90])
def test_jpeg_is_close_to_a_real_one(quality):
    ours = transforms.fixed("jpeg", quality)(x)
    for picture, mine in zip(x, ours):
        data = io.BytesIO()
        pixels = (picture.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(data, "JPEG", quality=quality)
        real = torch.from_numpy(np.asarray(Image.open(data)).copy()).permute(2, 0, 1) / 255
        assert (mine - real).square().mean().sqrt() < 0.02


def test_jpeg_takes_any_size():
    odd = x[..., :37, :41]
    assert transforms.fixed("jpeg", 80)(odd).shape == odd.shape


def test_resize_against_pillow():
    ours = transforms.scale(x, [24, 24])
    for picture, mine in zip(x, ours):
        pixels = (picture.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        theirs = np.asarray(Image.fromarray(pixels).resize((24, 24), Image.Resampling.BILINEAR)) / 255
        assert np.abs(mine.permute(1, 2, 0).numpy() - theirs).max() < 0.01


def test_pick_is_named_by_its_draw():
    chosen = [transforms.pick(transforms.EOT, x, plain("step", i)) for i in range(12)]
    again = [transforms.pick(transforms.EOT, x, plain("step", i)) for i in range(12)]
    assert all(torch.equal(a, b) for a, b in zip(chosen, again))
    assert len({float(c.sum()) for c in chosen}) > 3
    assert torch.equal(transforms.pick((), x, plain("any")), x)
