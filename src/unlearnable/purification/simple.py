"""Countermeasures that need no model: what every platform, editor and training script does to pictures anyway."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageEnhance, ImageFilter
from torch import Tensor

from unlearnable.errors import PictureError, UsageError
from unlearnable.purification.base import between
from unlearnable.rng import image_keys, normal, uniform

JPEG_SIDE = 65_500  # px that a JPEG can hold


@dataclass(frozen=True)
class Jpeg:
    """JPEG at a quality from 1 to 100, colour at half resolution (4:2:0) as cameras and sites have it.

    Pillow's codec. Quality 100 is near the identity, not equal to it: the halved colour remains (measured by
    `benchmarks/purifiers.py`).
    """

    quality: int = 75

    def __post_init__(self) -> None:
        between("JPEG quality", self.quality, 1, 100)

    def __call__(self, images: Tensor, *, seed: int = 0) -> Tensor:
        longest = max(images.shape[-2:])
        if longest > JPEG_SIDE:
            raise PictureError(f"a side of {longest} px is more than a JPEG holds: make it {JPEG_SIDE} px at most")
        return through_pillow(images, self._coded)

    def _coded(self, picture: Image.Image) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=self.quality, subsampling="4:2:0")
        return Image.open(file, formats=["JPEG"]).convert("RGB")


@dataclass(frozen=True)
class Resize:
    """Scale down by a factor up to 1 and up again, bicubic with anti-aliasing as Pillow has it; 1 is the identity."""

    factor: float = 0.5

    def __post_init__(self) -> None:
        between("resize factor", self.factor, 0.01, 1)

    def __call__(self, images: Tensor, *, seed: int = 0) -> Tensor:
        height, width = images.shape[-2:]
        small = [max(1, round(side * self.factor)) for side in (height, width)]
        return scale(scale(images, small), [height, width])


@dataclass(frozen=True)
class CropResize:
    """A random part of the picture, scaled up to the whole; its side is a share of the picture's, 1 is the identity.

    Where it lies follows from the seed and the picture. Bicubic, as Pillow has it.
    """

    share: float = 0.9

    def __post_init__(self) -> None:
        between("share of the sides that is kept", self.share, 0.01, 1)

    def __call__(self, images: Tensor, *, seed: int = 0) -> Tensor:
        size = list(images.shape[-2:])
        rows, cols = (max(1, round(side * self.share)) for side in size)
        offsets = uniform(image_keys(images), (2,), seed, "purify", "crop").tolist()
        parts = []
        for x, (down, right) in zip(images, offsets):
            top, left = int(down * (size[0] - rows + 1)), int(right * (size[1] - cols + 1))
            parts.append(scale(x[None, :, top : top + rows, left : left + cols], size))
        return torch.cat(parts)


@dataclass(frozen=True)
class Blur:
    """Gaussian blur of a standard deviation (sigma) in px, cut at 4 sigma, edges repeated; 0 is the identity."""

    sigma: float = 1.0

    def __post_init__(self) -> None:
        between("blur sigma", self.sigma, 0, 100)

    def __call__(self, images: Tensor, *, seed: int = 0) -> Tensor:
        from kornia.filters import gaussian_blur2d

        side = 2 * int(4 * self.sigma + 0.5) + 1
        if side == 1:
            return images
        return gaussian_blur2d(images, (side, side), (self.sigma, self.sigma), border_type="replicate")


@dataclass(frozen=True)
class Median:
    """Median of a square around each pixel, its side an odd number of px; 1 changes nothing.

    Each channel by itself, on 8-bit samples; edges are repeated.
    """

    side: int = 3

    def __post_init__(self) -> None:
        between("median side", self.side, 1, 99)
        if self.side % 2 == 0:
            raise UsageError(f"median side {self.side} is even: give an odd number of pixels such as {self.side + 1}")

    def __call__(self, images: Tensor, *, seed: int = 0) -> Tensor:
        if self.side == 1:  # Pillow 12.3 divides by zero there and takes the process with it
            return images
        return through_pillow(images, lambda picture: picture.filter(ImageFilter.MedianFilter(self.side)))


@dataclass(frozen=True)
class Saturate:
    """Colours stronger by a factor of at least 1 (Pillow's, away from the pixel's brightness); 1 is the identity.

    It undoes what only takes colour away, as the control `desaturate` does.
    """

    factor: float = 1.25

    def __post_init__(self) -> None:
        between("saturation factor", self.factor, 1, 100)

    def __call__(self, images: Tensor, *, seed: int = 0) -> Tensor:
        return through_pillow(images, lambda picture: ImageEnhance.Color(picture).enhance(self.factor))


@dataclass(frozen=True)
class Noise:
    """Gaussian noise of a standard deviation (sigma) in levels of 255, clipped to the range of samples."""

    sigma: float = 8.0

    def __post_init__(self) -> None:
        between("noise sigma", self.sigma, 0, 255)

    def __call__(self, images: Tensor, *, seed: int = 0) -> Tensor:
        noise = normal(image_keys(images), images.shape[1:], seed, "purify", "noise", device=images.device)
        return (images + self.sigma / 255 * noise).clamp(0, 1)


@dataclass(frozen=True)
class Bits:
    """Fewer bits a sample: the nearest even level (feature squeezing, arXiv 1704.01155); 8 changes nothing."""

    bits: int = 5

    def __post_init__(self) -> None:
        between("number of bits", self.bits, 1, 8)

    def __call__(self, images: Tensor, *, seed: int = 0) -> Tensor:
        top = 2**self.bits - 1
        return (images * top).round() / top


@dataclass(frozen=True)
class TotalVariation:
    """Total variation denoising by a weight; 0 is the identity.

    ``min_u |u - x|^2 / 2 + weight TV(u)``, each channel by itself: Rudin, Osher and Fatemi's model by Chambolle's
    projection (J. Math. Imaging Vision 20, 2004, eq. 9). With ``u = x - weight div p`` that is ``p <- (p - r grad u) /
    (1 + r |grad u|)``, ``r = tau / weight``, tau = 1/4. Fixed steps, so that no batch decides when a picture is done.
    """

    weight: float = 0.1
    steps: int = 200

    def __post_init__(self) -> None:
        between("total variation weight", self.weight, 0, 100)
        between("total variation steps", self.steps, 0, 10_000)

    def __call__(self, images: Tensor, *, seed: int = 0) -> Tensor:
        u, p = images, images.new_zeros(2, *images.shape)
        if not self.weight:
            return images
        for _ in range(self.steps):
            slope = gradient(u) * (-1 / (4 * self.weight))
            p = (p + slope) / (1 + slope.square().sum(0).sqrt())
            u = images - self.weight * divergence(p)
        return u


def gradient(u: Tensor) -> Tensor:
    """Forward differences ``[2 b c h w]`` down and across, zero at the last row and column."""
    down, across = F.pad(u.diff(dim=-2), (0, 0, 0, 1)), F.pad(u.diff(dim=-1), (0, 1))
    return torch.stack([down, across])


def divergence(p: Tensor) -> Tensor:
    """Minus the adjoint of `gradient`: backward differences, for `p` that is zero at the last row and column."""
    return p[0].diff(dim=-2, prepend=torch.zeros_like(p[0][..., :1, :])) + p[1].diff(
        dim=-1, prepend=torch.zeros_like(p[1][..., :1])
    )


def scale(images: Tensor, size: list[int]) -> Tensor:
    """Bicubic with anti-aliasing, within the range of samples."""
    if list(images.shape[-2:]) == size:
        return images
    return F.interpolate(images, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


def through_pillow(images: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    """Pictures through a function on 8-bit pictures."""
    levels = (images.detach().float().cpu().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    changed = [np.asarray(change(Image.fromarray(level))) for level in levels]
    return torch.from_numpy(np.stack(changed)).permute(0, 3, 1, 2).to(images) / 255
