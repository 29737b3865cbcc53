"""Quality without a reference: statistics of natural pictures.

BRISQUE and NIQE score with weights that their authors fitted to pictures we may not ship. Their features are defined
without them (Mittal et al. 2012 and 2013), so `nss_distance` fits NIQE's Gaussian to the owner's clean pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnable.errors import UsageError
from unlearnable.metrics.base import PATCHES, check, metric
from unlearnable.metrics.structure import blur

PATCH = 96  # px, NIQE's own
SHARP = 0.75  # of the sharpest patch: how sharp a patch must be to show what clean pictures are like
NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
SHAPES = torch.arange(0.2, 10.001, 0.001, dtype=torch.float64)  # where a distribution's shape is searched


@metric(PATCHES, higher_is_better=False)
def nss_distance(patches: Sequence[Tensor], references: Sequence[Tensor]) -> Tensor:
    """Distance of a picture's local statistics from those of the clean pictures (NIQE with its own corpus).

    Unit: none, 0 or more; not NIQE's scale. Better: lower. Needs: `patches` of each picture, so 96 px a side, and 37
    sharp patches or more among the clean pictures. Gives a row for each picture.
    Source: Mittal, Soundararajan and Bovik 2013, IEEE SPL 20(3), equation 10, where the Gaussian of 125 pristine
    photographs is replaced by one of the given clean pictures' sharp patches.
    """
    if not patches or not references:
        raise UsageError("nss-distance compares pictures with clean ones: give one or more of each")
    sharp = torch.cat([rows[rows[:, -1] > SHARP * rows[:, -1].max(), :-1] for rows in references])
    if len(sharp) <= sharp.shape[1]:
        least = sharp.shape[1] + 1
        raise UsageError(f"nss-distance needs {least} sharp clean patches of {PATCH} px, but there are {len(sharp)}")
    centre, covariance = sharp.mean(0), sharp.T.cov()
    rows = []
    for patch in patches:
        apart = patch[:, :-1].mean(0) - centre
        own = patch[:, :-1].T.cov() if len(patch) > 1 else torch.zeros_like(covariance)
        rows.append((apart @ torch.linalg.pinv((covariance + own) / 2, hermitian=True) @ apart).clamp(min=0).sqrt())
    return torch.stack(rows)


def patches(image: Tensor) -> Tensor:
    """Statistics of the 96 px patches of one picture ``[1 3 h w]``: ``[p 37]``, 18 at each of two scales, sharpness.

    At each scale: shape and width of the normalised samples, and shape, mean and both widths of the products of
    neighbours in four directions.
    """
    check(image)
    h, w = image.shape[-2:]
    if min(h, w) < PATCH:
        raise UsageError(f"nss-distance needs {PATCH} px a side, but a picture has {w} x {h} px: leave it out")
    h, w = h // PATCH * PATCH, w // PATCH * PATCH
    grey = (image[..., :h, :w].double() * image.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, True) * 255
    half = F.interpolate(grey, scale_factor=0.5, mode="bicubic", antialias=True, align_corners=False)
    (first, sharpness), (second, _) = (_scale(x, side) for x, side in ((grey, PATCH), (half, PATCH // 2)))
    return torch.cat([first, second, sharpness[:, None]], 1)


def _scale(grey: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The 18 statistics of each patch at one scale, and the mean local deviation."""
    normal, deviation = normalised(grey)
    cut = _cut(normal, side)
    columns = [torch.stack(_symmetric(cut.flatten(1)), 1)]
    for down, right in NEIGHBOURS:
        moved = cut.roll((-down, -right), (1, 2))
        columns.append(torch.stack(_asymmetric((cut * moved).flatten(1)), 1))
    return torch.cat(columns, 1), _cut(deviation, side).flatten(1).mean(1)


def normalised(grey: Tensor) -> tuple[Tensor, Tensor]:
    """Samples less their local mean, over local deviation + 1 (levels of 255; window 7 px, sigma 7/6); the latter."""
    padded = F.pad(grey, (3, 3, 3, 3), mode="replicate")
    centre = blur(padded, 7, 7 / 6)
    deviation = (blur(padded**2, 7, 7 / 6) - centre**2).clamp(min=0).sqrt()
    return (grey - centre) / (deviation + 1), deviation


def _cut(x: Tensor, side: int) -> Tensor:
    """``[1 1 h w]`` to its whole patches ``[p side side]``."""
    return x[0, 0].unfold(0, side, side).unfold(1, side, side).reshape(-1, side, side)


def _symmetric(x: Tensor) -> tuple[Tensor, Tensor]:
    """Shape and variance of a generalised Gaussian with each row's moments (Sharifi and Leon-Garcia 1995)."""
    variance, size = x.square().mean(1), x.abs().mean(1)
    return _shape(size**2 / variance.clamp(min=1e-12)), variance


def _asymmetric(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Shape, mean, left and right variance of an asymmetric one (Lasmar et al. 2009)."""
    below, above = x.clamp(max=0), x.clamp(min=0)
    left = below.square().sum(1) / (x < 0).sum(1).clamp(min=1)
    right = above.square().sum(1) / (x > 0).sum(1).clamp(min=1)
    skew = (left / right.clamp(min=1e-12)).sqrt().clamp(1e-6, 1e6)
    ratio = x.abs().mean(1) ** 2 / x.square().mean(1).clamp(min=1e-12)
    shape = _shape(ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2)
    log_1, log_2, log_3 = (torch.lgamma(i / shape) for i in (1, 2, 3))
    mean = (right.sqrt() - left.sqrt()) * torch.exp(log_2 - (log_1 + log_3) / 2)
    return shape, mean, left, right


@cache
def _ratios() -> Tensor:
    """E|x|^2 / E x^2 of a generalised Gaussian for each of SHAPES: rises with the shape."""
    return torch.exp(2 * torch.lgamma(2 / SHAPES) - torch.lgamma(1 / SHAPES) - torch.lgamma(3 / SHAPES))


def _shape(ratio: Tensor) -> Tensor:
    return SHAPES[torch.searchsorted(_ratios(), ratio.contiguous()).clamp(max=len(SHAPES) - 1)]
