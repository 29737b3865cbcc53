"""Expectation over transformations (EOT, Athalye et al., arXiv 1707.07397): protect what survives a countermeasure.

A transform is a function ``(x, rng) -> x`` on ``[b 3 h w]``, differentiable, of unchanged shape; `rng` is shared by
all pictures of a step, so the batch a picture is in does not matter.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

Transform = Callable[..., Tensor]  # (x, rng), and strengths by keyword


def identity(x: Tensor, rng: random.Random) -> Tensor:
    return x


def jpeg(x: Tensor, rng: random.Random, quality: tuple[int, int] = (60, 95)) -> Tensor:
    """Differentiable JPEG (kornia, after Shin and Song 2017) at a random quality."""
    from kornia.enhance import jpeg_codec_differentiable

    h, w = x.shape[-2:]
    padded = F.pad(x, (0, -w % 16, 0, -h % 16), mode="replicate")
    chosen = torch.full([len(x)], float(rng.randint(*quality)), device=x.device)
    changed: Tensor = jpeg_codec_differentiable(padded.clamp(0, 1), chosen)[..., :h, :w]
    return changed


def blur(x: Tensor, rng: random.Random, sigma: tuple[float, float] = (0.4, 1.2)) -> Tensor:
    """Gaussian blur, sigma in pixels."""
    from kornia.filters import gaussian_blur2d

    s = rng.uniform(*sigma)
    changed: Tensor = gaussian_blur2d(x, (7, 7), (s, s), border_type="replicate")
    return changed


def resize(x: Tensor, rng: random.Random, factor: tuple[float, float] = (0.5, 0.9)) -> Tensor:
    """Down with anti-aliasing and up again."""
    size = list(x.shape[-2:])
    small = [max(8, round(side * rng.uniform(*factor))) for side in size]
    return scale(scale(x, small), size)


def crop(x: Tensor, rng: random.Random, share: tuple[float, float] = (0.7, 0.95)) -> Tensor:
    """A random part, scaled up to the whole."""
    h, w = x.shape[-2:]
    part = rng.uniform(*share)
    rows, cols = max(8, round(h * part)), max(8, round(w * part))
    top, left = rng.randint(0, h - rows), rng.randint(0, w - cols)
    return scale(x[..., top : top + rows, left : left + cols], [h, w])


def platform(x: Tensor, rng: random.Random) -> Tensor:
    """Resized and compressed in a row, as platforms do it."""
    return jpeg(resize(x, rng, (0.5, 1.0)), rng, (70, 95))


def mirror(x: Tensor, rng: random.Random) -> Tensor:
    """Left and right swapped, or not."""
    return x.flip(-1) if rng.random() < 0.5 else x


def cloaked(x: Tensor, rng: random.Random) -> Tensor:
    """Blurred, resized, cropped and mirrored in a row (MetaCloak, arXiv 2311.13127)."""
    return mirror(crop(resize(blur(x, rng), rng), rng), rng)


def window(x: Tensor, rng: random.Random, share: tuple[float, float] = (0.5, 1.0)) -> Tensor:
    """A random inner part in its place, the rest grey: what an editor keeps while it redraws around it."""
    h, w = x.shape[-2:]
    part = rng.uniform(*share)
    rows, cols = max(8, round(h * part)), max(8, round(w * part))
    top, left = rng.randint(0, h - rows), rng.randint(0, w - cols)
    inside = torch.zeros_like(x[:, :1])
    inside[..., top : top + rows, left : left + cols] = 1
    return x * inside + 0.5 * (1 - inside)


def scale(x: Tensor, size: list[int]) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)


def pick(transforms: tuple[Transform, ...], x: Tensor, rng: random.Random) -> Tensor:
    """One of the transforms, in random turn; none means the picture itself."""
    return rng.choice(transforms)(x, rng) if transforms else x


# What a picture meets on its way to an attacker. Half of the steps see it untouched.
EOT: tuple[Transform, ...] = (identity, identity, identity, identity, jpeg, blur, resize, crop)

NAMES: dict[str, Transform] = {"identity": identity, "jpeg": jpeg, "blur": blur, "resize": resize, "crop": crop}


def fixed(name: str, value: float) -> Callable[[Tensor], Tensor]:
    """One transform at one strength, for tests and measurements: `name` is jpeg, blur or resize."""
    keyword = {"jpeg": "quality", "blur": "sigma", "resize": "factor"}[name]
    span = (int(value),) * 2 if name == "jpeg" else (value,) * 2
    return partial(NAMES[name], rng=random.Random(0), **{keyword: span})
