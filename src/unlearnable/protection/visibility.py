"""How much a change may be at each place before people see it, as shares of a budget's root mean square.

A budget for the whole picture can be spent where nobody looked: 67/255 on a few dark parts of a product photograph,
seen as a stain. So a pixel's change is bounded by what its surroundings hide: detail (contrast masking) and darkness
(Chou and Li, "A perceptually tuned subband image coder based on the measure of JND", 1995, in its simplest form, with a
lower bound in the dark, as today's screens show more of it). The mean change around a pixel is bounded more tightly,
since slow changes of brightness and colour are seen first, and that of colour alone tighter still.

Pictures and changes are ``[b 3 h w]`` in [0, 1] units.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

AROUND = 9  # px, over which detail is measured
WIDE = 17  # px, over which a change's mean is taken
SMOOTH, DARK, DETAIL, MOST = 2.2, 0.9, 0.3, 6.0  # of a pixel: flat, black, a level of deviation, at most
MEAN_SMOOTH, MEAN_DETAIL, MEAN_MOST = 0.65, 0.08, 1.6  # of means around a pixel
COLOUR = 0.7  # of the bound of means: that of colour alone
PASSES = 2


@dataclass(frozen=True)
class Limits:
    """Largest change of a sample, and of means around it, ``[b 1 h w]`` each."""

    sample: Tensor
    mean: Tensor

    def clip(self, delta: Tensor) -> Tensor:
        """A change within the limits of samples, and within those of means but for what is left after two passes."""
        for _ in range(PASSES):
            slow = box(delta, WIDE)
            delta = (delta - (slow - self._slow(slow))).clamp(-self.sample, self.sample)
        return delta

    def is_satisfied(self, delta: Tensor, slack: float) -> bool:
        """Whether samples and means are within the limits, with `slack` for rounding."""
        slow = box(delta, WIDE)
        within = (delta.abs() <= self.sample + slack).all() and (slow.abs() <= self.mean + slack).all()
        return bool(within and ((slow - slow.mean(1, True)).abs() <= COLOUR * self.mean + slack).all())

    def _slow(self, slow: Tensor) -> Tensor:
        """Means within their limits: colour first, then each channel."""
        grey = slow.mean(1, True)
        colour = (slow - grey).clamp(-COLOUR * self.mean, COLOUR * self.mean)
        return (grey + colour).clamp(-self.mean, self.mean)


def limits(x: Tensor, rms: float) -> Limits:
    """Of pictures `x`, for a budget of `rms` in [0, 1] units."""
    grey = x.mean(1, keepdim=True)
    mean = box(grey, AROUND)
    deviation = 255 * (box(grey.square(), AROUND) - mean.square()).clamp_min(0).sqrt()
    detail = box(deviation, AROUND)
    dark = (1 - 2 * mean).clamp_min(0)
    sample = (SMOOTH + DARK * dark + DETAIL * detail).clamp_max(MOST)
    slow = (MEAN_SMOOTH + MEAN_DETAIL * detail).clamp_max(MEAN_MOST)
    return Limits(rms * sample, rms * slow)


def largest(delta: Tensor) -> float:
    """The largest mean change around any pixel, in the units of `delta` ``[b 3 h w]``."""
    return float(box(delta, WIDE).abs().max())


def box(x: Tensor, side: int) -> Tensor:
    """Mean over `side` px squared, with edges repeated."""
    reach = side // 2
    padded = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    padded = F.avg_pool2d(padded, (1, side), stride=1)  # one axis after the other: the same, and cheaper
    return F.avg_pool2d(padded, (side, 1), stride=1)
