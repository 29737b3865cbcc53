"""Pictures as trainers of diffusion models see them: the short side scaled to the model's, then a centre crop."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnable.rng import image_keys, plain

LEAST = 0.6  # share of the side that an augmented view shows at least


def square(images: Tensor, side: int) -> Tensor:
    """Pictures ``[b 3 h w]`` in [0, 1] as ``[b 3 side side]``.

    They are scaled bilinearly with anti-aliasing and centre-cropped, as the field's training scripts do. Pictures of
    that size are returned unchanged.
    """
    h, w = images.shape[-2:]
    if h == w == side:
        return images
    scale = side / min(h, w)
    size = [max(side, round(h * scale)), max(side, round(w * scale))]
    x = F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    return x[..., top : top + side, left : left + side].clamp(0, 1)


def augmented(images: Tensor, count: int, seed: int = 0, keys: Sequence[str] | None = None) -> Tensor:
    """`count` views of each picture ``[n 3 s s]``, ``[n * count 3 s s]``: the picture first, then crops, half mirrored.

    The crops are drawn by (seed, key, view); the keys are the pictures' content unless given.
    """
    keys = image_keys(images) if keys is None else keys
    return torch.cat([view(x[None], i, key, seed) for x, key in zip(images, keys) for i in range(count)])


def view(x: Tensor, number: int, key: str, seed: int) -> Tensor:
    """One view of a picture ``[1 3 s s]``; view 0 is the picture itself."""
    if not number:
        return x
    draw, side = plain("view", seed, key, number), x.shape[-1]
    part = round(side * draw.uniform(LEAST, 1))
    top, left = draw.randint(0, side - part), draw.randint(0, side - part)
    cut = square(x[..., top : top + part, left : left + part], side)
    return cut.flip(-1) if draw.random() < 0.5 else cut
