"""AdverseCleaner: many weak edge-preserving blurs, then the picture's own edges back (lllyasviel, 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnable.purification.base import between

REACH, SIGMA = 2, 8.0  # of a bilateral filter: d = 5 px, sigmaColor and sigmaSpace
RADIUS, EPS = 4, 16.0  # of a guided filter, in px and squared levels
GUIDED = 4
ROUND_OFF = 1e-3  # levels


@dataclass(frozen=True)
class AdverseCleaner:
    """AdverseCleaner: bilateral filters in a row, 64 in the original, then 4 filters guided by the picture itself.

    As its author's repository (lllyasviel/AdverseCleaner, 2023) does it with OpenCV: bilateral filters of d = 5,
    sigmaColor = sigmaSpace = 8; guided filters of radius 4 and eps 16, their guide the picture as it was; levels
    truncated. No filter at all is the identity.
    """

    filters: int = 64

    def __post_init__(self) -> None:
        between("number of bilateral filters", self.filters, 0, 10_000)

    def __call__(self, images: Tensor, *, seed: int = 0) -> Tensor:
        if not self.filters:
            return images
        picture = images.float() * 255
        y = picture
        for _ in range(self.filters):
            y = bilateral(y)
        for _ in range(GUIDED):
            y = guided(picture, y)
        return ((y + ROUND_OFF).floor().clamp(0, 255) / 255).to(images)


def bilateral(x: Tensor) -> Tensor:
    """Mean of levels ``[b 3 h w]`` over a disc of `REACH` px, weighed by nearness in place and in colour.

    ``exp(-r^2 / 2 sigma^2 - c^2 / 2 sigma^2)``, c the sum of the channels' absolute differences, as OpenCV has it
    (Tomasi and Manduchi 1998 leave the distance open); edges are mirrored without their last pixel.
    """
    h, w = x.shape[-2:]
    wide = padded(x, REACH, "reflect")
    total, weights = torch.zeros_like(x), torch.zeros_like(x[:, :1])
    for i in range(-REACH, REACH + 1):
        for j in range(-REACH, REACH + 1):
            if i * i + j * j > REACH * REACH:
                continue
            near = wide[..., REACH + i : REACH + i + h, REACH + j : REACH + j + w]
            apart = (near - x).abs().sum(1, keepdim=True)
            weight = (-(i * i + j * j + apart.square()) / (2 * SIGMA * SIGMA)).exp()
            total, weights = total + weight * near, weights + weight
    return total / weights


def guided(guide: Tensor, y: Tensor) -> Tensor:
    """Levels ``[b 3 h w]`` as a linear function of the guide's colours around every pixel.

    He, Sun and Tang 2013 (IEEE TPAMI 35(6)), equations 14 to 16 for a guide of three channels; windows of 9 px squared,
    edges mirrored with their last pixel, as OpenCV has it.
    """
    p, q = guide.double(), y.double()
    mean_p, mean_q = box(p), box(q)
    cov = box(p[:, :, None] * p[:, None]) - mean_p[:, :, None] * mean_p[:, None]
    both = box(p[:, :, None] * q[:, None]) - mean_p[:, :, None] * mean_q[:, None]
    cov, both = (c.permute(0, 3, 4, 1, 2) for c in (cov, both))
    a = torch.linalg.solve(cov + EPS * torch.eye(3, dtype=p.dtype, device=p.device), both).permute(0, 3, 4, 1, 2)
    b = mean_q - (a * mean_p[:, :, None]).sum(1)
    return ((box(a) * p[:, :, None]).sum(1) + box(b)).to(y)


def box(x: Tensor) -> Tensor:
    """Mean over a square of `RADIUS` px around every pixel of ``[b ... h w]``."""
    flat = padded(x.flatten(1, -3), RADIUS, "symmetric")
    side = 2 * RADIUS + 1
    return F.avg_pool2d(F.avg_pool2d(flat, (1, side), stride=1), (side, 1), stride=1).view_as(x)


def padded(x: Tensor, reach: int, mode: str) -> Tensor:
    """Mirrored at the edges as `numpy.pad` does it, at any size."""
    # numpy's types know a mode as a literal only, and here it is an argument
    rows, cols = (torch.from_numpy(np.pad(np.arange(side), reach, mode=mode)) for side in x.shape[-2:])  # type: ignore[call-overload]
    return x[..., rows.to(x.device), :][..., cols.to(x.device)]
