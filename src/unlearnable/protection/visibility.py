"""The largest change at each pixel that people do not see, in three bands, in shares of a budget.

A budget for the whole picture can be spent in one place: 67/255 on a few dark parts of a product photograph,
seen as a stain. So a change is bounded by what its surroundings hide: texture (contrast masking) and darkness (Chou and
Li, "A perceptually tuned subband image coder based on the measure of JND", 1995, in its simplest form, with a lower
bound in the dark, as today's screens show more of it). An edge hides less than a texture does (Liu et al., "Just
noticeable difference for images with decomposition model", 2010), and a flat place beside it nothing: texture is
detail that has detail all around it.

Eyes are keenest for structure some pixels wide (contrast sensitivity peaks at 3 to 5 cycles a degree, which are 8 to
13 px on a usual screen at arm's length). So means over `BAND` px are bounded more tightly than single pixels, means
over `WIDE` px, which show as stains and casts, more tightly still, and in both colour alone more than brightness.

Pictures and changes are ``[b 3 h w]`` in [0, 1] units.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

AROUND = 5  # px, over which detail is measured
APART = 7  # px: detail that has none this far away is an edge
BAND, WIDE = 5, 17  # px, over which a change's means are taken
PASSES = 2


@dataclass(frozen=True)
class Band:
    """The largest change in one band: where it is flat, more where it is dark, more a level of texture, at most."""

    flat: float
    dark: float
    texture: float
    most: float

    def limit(self, texture: Tensor, dark: Tensor) -> Tensor:
        return (self.flat + self.dark * dark + self.texture * texture).clamp_max(self.most)


SAMPLE, MIDDLE, SLOW = Band(0.8, 0.3, 0.3, 6.0), Band(0.28, 0.08, 0.13, 4.0), Band(0.2, 0, 0.08, 1.6)
COLOUR = 0.7  # of the bound of means: that of colour alone


@dataclass(frozen=True)
class Limits:
    """Largest change of a sample, and of means over `BAND` and `WIDE` px around it, ``[b 1 h w]`` each."""

    sample: Tensor
    middle: Tensor
    slow: Tensor

    def clip(self, delta: Tensor, passes: int = PASSES) -> Tensor:
        """A change within the limits of samples, and, after some passes, nearly within those of means."""
        for _ in range(passes):
            for limit, side in ((self.slow, WIDE), (self.middle, BAND)):
                mean = box(delta, side)
                delta = delta - (mean - within(mean, limit))
            delta = delta.clamp(-self.sample, self.sample)
        return delta

    def is_satisfied(self, delta: Tensor, slack: float) -> bool:
        """Whether samples and means are within the limits, with `slack` for rounding."""
        bands = [(delta, self.sample)]
        for limit, side in ((self.slow, WIDE), (self.middle, BAND)):
            mean = box(delta, side)
            bands += [(mean, limit), (mean - mean.mean(1, True), COLOUR * limit)]
        return all(bool((change.abs() <= limit + slack).all()) for change, limit in bands)


def within(mean: Tensor, limit: Tensor) -> Tensor:
    """Means within their limit: colour first, then each channel."""
    grey = mean.mean(1, True)
    return (grey + (mean - grey).clamp(-COLOUR * limit, COLOUR * limit)).clamp(-limit, limit)


def limits(x: Tensor, rms: float) -> Limits:
    """Of pictures `x`, for a budget of `rms` in [0, 1] units."""
    hidden, dark = texture(x), (1 - 2 * box(x.mean(1, keepdim=True), AROUND)).clamp_min(0)
    return Limits(*(rms * band.limit(hidden, dark) for band in (SAMPLE, MIDDLE, SLOW)))


def texture(x: Tensor) -> Tensor:
    """Deviation of the brightness around each pixel, as far as there is as much all around, in 1/255, ``[b 1 h w]``."""
    grey = x.mean(1, keepdim=True)
    mean = box(grey, AROUND)
    deviation = 255 * (box(grey.square(), AROUND) - mean.square()).clamp_min(0).sqrt()
    return box(-F.max_pool2d(-padded(deviation, APART), APART, 1), APART)


def largest(delta: Tensor) -> float:
    """The largest mean change around any pixel, in the units of `delta` ``[b 3 h w]``."""
    return float(box(delta, WIDE).abs().max())


def box(x: Tensor, side: int) -> Tensor:
    """Mean over `side` px squared, with edges repeated."""
    row = torch.full((x.shape[1], 1, 1, side), 1 / side, dtype=x.dtype, device=x.device)
    summed = F.conv2d(padded(x, side), row, groups=x.shape[1])  # one axis after the other: the same, and cheaper
    return F.conv2d(summed, row.mT, groups=x.shape[1])


def padded(x: Tensor, side: int) -> Tensor:
    """With edges repeated, so that a window of `side` px has a result for every pixel."""
    return F.pad(x, (side // 2,) * 4, mode="replicate")
