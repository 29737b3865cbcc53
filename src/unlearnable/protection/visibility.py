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
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnable.protection.strips import by_strips

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
            delta = by_strips(narrowed, delta, self.sample, self.middle, self.slow, reach=(WIDE + BAND) // 2)
        return delta

    def is_satisfied(self, delta: Tensor, slack: float) -> bool:
        """Whether samples and means are within the limits, with `slack` for rounding."""
        excess = by_strips(beyond, delta, self.sample, self.middle, self.slow, reach=WIDE // 2)
        return bool((excess <= slack).all())


def narrowed(delta: Tensor, sample: Tensor, middle: Tensor, slow: Tensor) -> Tensor:
    """A change whose means are brought within their limits, the wide ones first, and its samples at last."""
    for limit, side in ((slow, WIDE), (middle, BAND)):
        mean = box(delta, side)
        delta = delta - (mean - within(mean, limit))
    return delta.clamp(-sample, sample)


def beyond(delta: Tensor, sample: Tensor, middle: Tensor, slow: Tensor) -> Tensor:
    """How far samples and means are beyond their limits, the furthest of them at each sample; below zero: within."""
    furthest = delta.abs() - sample
    for limit, side in ((slow, WIDE), (middle, BAND)):
        mean = box(delta, side)
        furthest = furthest.maximum(mean.abs() - limit)
        furthest = furthest.maximum((mean - mean.mean(1, True)).abs() - COLOUR * limit)
    return furthest


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
    return by_strips(detail, x.mean(1, keepdim=True), reach=(AROUND + 2 * APART) // 2)


def detail(grey: Tensor) -> Tensor:
    """`texture` of brightness ``[b 1 h w]``."""
    mean = box(grey, AROUND)
    deviation = 255 * (box(grey.square(), AROUND) - mean.square()).clamp_min(0).sqrt()
    return box(-F.max_pool2d(-padded(deviation, APART), APART, 1), APART)


def largest(delta: Tensor) -> float:
    """The largest mean change around any pixel, in the units of `delta` ``[b 3 h w]``."""
    return float(by_strips(partial(box, side=WIDE), delta, reach=WIDE // 2).abs().max())


def box(x: Tensor, side: int) -> Tensor:
    """Mean over `side` px squared, with edges repeated."""
    return window(window(padded(x, side), side, -1), side, -2) / side**2


def window(x: Tensor, side: int, dim: int) -> Tensor:
    """Sums of `side` neighbours, from sums of 1, 2, 4 ... of them: many times faster than a convolution on a CPU."""
    length, start = x.shape[dim] - side + 1, 0
    total, sums = torch.zeros_like(x.narrow(dim, 0, length)), x
    for power in range(side.bit_length()):
        width = 2**power
        if power:
            rest = sums.shape[dim] - width // 2
            sums = sums.narrow(dim, 0, rest) + sums.narrow(dim, width // 2, rest)
        if side & width:
            total = total + sums.narrow(dim, start, length)
            start += width
    return total


def padded(x: Tensor, side: int) -> Tensor:
    """With edges repeated, so that a window of `side` px has a result for every pixel."""
    return F.pad(x, (side // 2,) * 4, mode="replicate")
