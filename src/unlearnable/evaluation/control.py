"""The random control: a picture's own perturbation with random signs."""

from __future__ import annotations

import math

import numpy as np
import torch

from unlearnable.rng import generator


def control(clean: np.ndarray, protected: np.ndarray, size: int, *name: object) -> np.ndarray:
    """The clean picture changed by as much as the protected one is, at the same places, with random signs.

    Takes uint8 ``[h w 3]`` twice and returns uint8 ``[h w 3]``. Every sample moves by the magnitude of its own change,
    so L-inf, L2 and the places of the change are exactly the same, and nothing needs rounding; only the directions that
    the protection computed are lost. One sign is drawn (named by `name`) for each channel of each pixel *that an
    attacker sees*, whose tools scale the picture's shorter side to `size` px: signs of single file pixels would average
    out on the way down, and any protection would beat a control that has all but vanished. Where a sample would leave 0
    .. 255 it keeps the protection's own sign. Grey pairs stay grey.
    """
    x = clean.astype(np.int16)
    delta = protected.astype(np.int16) - x
    height, width = clean.shape[:2]
    block = max(1.0, min(height, width) / size)
    rows, columns = (np.floor(np.arange(side) / block).astype(int) for side in (height, width))
    channels = 1 if grey(clean) and grey(protected) else 3
    shape = (math.ceil(height / block), math.ceil(width / block), channels)
    signs = 2 * torch.randint(2, shape, generator=generator("control", *name)).numpy().astype(np.int16) - 1
    moved = x + delta * signs[rows[:, None], columns[None, :]]
    return np.where((moved < 0) | (moved > 255), x + delta, moved).astype(np.uint8)


def grey(pixels: np.ndarray) -> bool:
    return bool((pixels == pixels[..., :1]).all())
