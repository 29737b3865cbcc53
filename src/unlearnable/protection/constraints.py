"""Constraints on how far a picture may move. Each ends on the 8-bit grid, on which the file will be written.

Budgets are in units of 1/255 of 8-bit output, at the size at which the perturbation is added. Pictures `x` and
perturbations `delta` are ``[b 3 h w]`` in [0, 1] units. `mask` ``[b 1 h w]`` is 0 where nothing may change. L2 and the
perceptual distance are means over the pixels that may change: a small mask leaves a small budget. A budget that is
`local` bounds a change everywhere by what people see as well; those bounds are a picture's `limits` (`visibility`),
which callers that project often compute once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from unlearnable.errors import UsageError
from unlearnable.protection.strips import rows
from unlearnable.protection.visibility import Limits, limits

GRID = 255.0
LARGEST_GAIN = 4.0  # how far sealing may scale a perturbation up to use an L2 budget
L2_OF_LINF = 2 / 3  # an L-inf budget of 6 of 255 and an L2 budget of 4 are about as visible
SEALING = 8  # passes of clipping, once for a file
FILLING, ENOUGH = 4, 1.01  # how often a clipped change is scaled up again, until this near to its budget
SMALLER = 0.9  # until a change whose means a mask or rounding moved is within its limits again
SLACK = 1.0  # in 1/255: what rounding to the 8-bit grid may add to a local bound
ROUND_OFF = 1e-4  # in 1/255: a level that float32 arithmetic put this close below a whole number is that number


class Constraint(Protocol):
    """`radius` is the budget in 1/255."""

    @property
    def radius(self) -> float: ...
    def start(self, noise: Tensor) -> Tensor:
        """A perturbation on the boundary in the direction of `noise`."""
        ...

    def limits(self, x: Tensor) -> Limits | None:
        """The largest changes of `x` that people do not see; None where the budget is for the picture as a whole."""
        ...

    def direction(self, gradient: Tensor, limits: Limits | None = None) -> Tensor:
        """The steepest ascent of unit size in this geometry; with `limits`, longer where more may change."""
        ...

    def project(self, x: Tensor, delta: Tensor, mask: Tensor | float = 1.0, limits: Limits | None = None) -> Tensor:
        """The nearest allowed perturbation that keeps ``x + delta`` a picture; `limits` are those of `x`, if known."""
        ...

    def seal(self, x: Tensor, delta: Tensor, mask: Tensor | float = 1.0) -> Tensor:
        """An allowed perturbation in whole levels, for `x` in whole levels (both ``[3 h w]`` float, 0 .. 255)."""
        ...

    def is_satisfied(self, change: Tensor, x: Tensor | None = None, mask: Tensor | float = 1.0) -> bool:
        """Whether a change of `x` in levels, as measured on a written file, is within the budget."""
        ...

    def describe(self) -> str: ...


@dataclass(frozen=True)
class LinfConstraint:
    """No sample moves by more than `eps`/255; with `local`, by no more than people see, either."""

    eps: float
    local: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.eps <= GRID:
            raise UsageError(f"eps {self.eps:g} is out of range: give 0 to 255, in levels of 8-bit output")

    @property
    def radius(self) -> float:
        return self.eps

    def start(self, noise: Tensor) -> Tensor:
        return torch.where(noise < 0, -1.0, 1.0) * (self.eps / GRID)

    def limits(self, x: Tensor) -> Limits | None:
        return limits(x, L2_OF_LINF * self.eps / GRID) if self.local else None

    def direction(self, gradient: Tensor, limits: Limits | None = None) -> Tensor:
        return gradient.sign()

    def project(self, x: Tensor, delta: Tensor, mask: Tensor | float = 1.0, limits: Limits | None = None) -> Tensor:
        bound, mask, visible = self.eps / GRID, masked(mask, delta), limits or self.limits(x)
        delta = visible.clip(delta * mask) if visible else delta
        return (x + delta.clamp(-bound, bound) * mask).clamp(0, 1) - x

    def seal(self, x: Tensor, delta: Tensor, mask: Tensor | float = 1.0) -> Tensor:
        mask, visible = masked(mask, delta), self.limits(x[None] / GRID)
        delta = clipped(visible, delta * mask) * mask

        def rounded(scale: float) -> Tensor:
            # Towards zero, never to the nearest: 4.5 rounded to 5 would break a budget of 4.5.
            levels = ((scale * delta).abs().clamp_max(self.eps) + ROUND_OFF).floor() * delta.sign()
            return (x + levels).clamp(0, GRID) - x

        return unseen(visible, rounded, 1.0)

    def is_satisfied(self, change: Tensor, x: Tensor | None = None, mask: Tensor | float = 1.0) -> bool:
        visible = None if x is None else self.limits(x[None] / GRID)
        return bool(change.abs().max() <= self.eps) and (
            visible is None or visible.is_satisfied(change[None] / GRID, SLACK / GRID)
        )

    def describe(self) -> str:
        return f"L-inf {self.eps:g}/255"


@dataclass(frozen=True)
class L2Constraint:
    """The root mean square change of the samples that may change is at most `rms`/255, whatever the picture's size.

    With `local` it is bounded everywhere by what people see, too (`visibility`).
    """

    rms: float
    local: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.rms <= GRID:
            raise UsageError(f"rms {self.rms:g} is out of range: give 0 to 255, in levels of 8-bit output")

    @property
    def radius(self) -> float:
        return self.rms

    def start(self, noise: Tensor) -> Tensor:
        return self.direction(noise) * (self.rms / GRID)

    def limits(self, x: Tensor) -> Limits | None:
        return limits(x, self.rms / GRID) if self.local else None

    def direction(self, gradient: Tensor, limits: Limits | None = None) -> Tensor:
        if limits is None:
            return gradient / rms(gradient).clamp_min(1e-12)
        # In units of what each sample may change, so that a step gets there everywhere at once.
        scaled = gradient * limits.sample
        return scaled / rms(scaled).clamp_min(1e-12) * limits.sample / (self.rms / GRID)

    def project(self, x: Tensor, delta: Tensor, mask: Tensor | float = 1.0, limits: Limits | None = None) -> Tensor:
        mask, visible = masked(mask, delta), limits or self.limits(x)
        delta = delta * mask
        if visible:
            delta = visible.clip(delta) * mask
        scale = (self.rms / GRID / rms(delta, mask).clamp_min(1e-12)).clamp_max(1)
        return (x + delta * scale).clamp(0, 1) - x

    def seal(self, x: Tensor, delta: Tensor, mask: Tensor | float = 1.0) -> Tensor:
        mask, visible = masked(mask, delta), self.limits(x[None] / GRID)
        filled = self._filled(delta * mask, mask, visible)

        def rounded(scale: float, strip: slice = slice(None)) -> Tensor:
            before = x[:, strip]
            return (before + (scale * filled[:, strip]).round()).clamp(0, GRID) - before

        # Rounding changes the norm, so the largest scale that obeys is found on the rounded result itself. An ascent
        # that stopped inside the ball is scaled up to its boundary: the PSNR asked for is the PSNR of the file.
        full = min(LARGEST_GAIN, 1.2 * self.rms / max(self._size(part_of(filled), mask), 1e-9))
        low, high = 0.0, min(1.0, full) if visible else full
        for _ in range(24):
            scale = (low + high) / 2
            low, high = (scale, high) if self._size(partial(rounded, scale), mask) <= self.rms else (low, scale)
        return unseen(visible, rounded, low)

    def _filled(self, delta: Tensor, mask: Tensor, visible: Limits | None) -> Tensor:
        """A change within what people see, scaled up until it uses the budget or the limits bind everywhere."""
        if visible is None:
            return delta
        gain = 1.0
        for _ in range(FILLING):
            filled = clipped(visible, gain * delta) * mask
            missing = self.rms / max(self._size(part_of(filled), mask), 1e-9)
            if missing < ENOUGH:
                break
            gain = min(LARGEST_GAIN, gain * missing)
        return filled

    @staticmethod
    def _size(change: Callable[[slice], Tensor], mask: Tensor) -> float:
        """The root mean square over the samples that may change, of a change given by its rows."""
        squares = (change(strip).square().sum(dtype=torch.float64) for strip in rows(*mask.shape[-2:]))
        return math.sqrt(float(sum(squares)) / max(3 * float(mask.sum(dtype=torch.float64)), 1))

    def is_satisfied(self, change: Tensor, x: Tensor | None = None, mask: Tensor | float = 1.0) -> bool:
        visible = None if x is None else self.limits(x[None] / GRID)
        within = self._size(part_of(change), masked(mask, change)) <= self.rms
        return within and (visible is None or visible.is_satisfied(change[None] / GRID, SLACK / GRID))

    def describe(self) -> str:
        return f"PSNR >= {psnr_of(self.rms):.2f} dB" if self.rms else "no change"


def part_of(change: Tensor) -> Callable[[slice], Tensor]:
    """The rows of a change ``[3 h w]``."""
    return lambda strip: change[:, strip]


def clipped(visible: Limits | None, delta: Tensor) -> Tensor:
    """A change ``[3 h w]`` in levels within what people see of it."""
    return delta if visible is None else GRID * visible.clip(delta[None] / GRID, SEALING)[0]


def unseen(visible: Limits | None, rounded: Callable[[float], Tensor], scale: float) -> Tensor:
    """`rounded` at the first scale, from `scale` down, at which all means are within their limits."""
    change = rounded(scale)
    while visible and not visible.is_satisfied(change[None] / GRID, SLACK / GRID):
        scale *= SMALLER
        change = rounded(scale)
    return change


def psnr(decibel: float, local: bool = False) -> L2Constraint:
    """Peak signal-to-noise ratio of at least `decibel`: an L2 ball of radius ``255 * 10^(-dB/20)``."""
    if not 10 <= decibel <= 100:
        raise UsageError(f"PSNR {decibel:g} dB is out of range: give 10 to 100 (36 is hard to see, 30 is visible)")
    return L2Constraint(GRID * 10 ** (-decibel / 20), local)


def psnr_of(rms_levels: float) -> float:
    """PSNR in dB of a root mean square error in 1/255."""
    return float(20 * torch.log10(torch.tensor(GRID / rms_levels, dtype=torch.float64)))


def masked(mask: Tensor | float, like: Tensor) -> Tensor:
    """1 where a sample may change and 0 elsewhere, of the shape of `like` but for its channels."""
    return (torch.as_tensor(mask, device=like.device) > 0).to(like.dtype).expand(*like.shape[:-3], 1, *like.shape[-2:])


def rms(delta: Tensor, mask: Tensor | None = None) -> Tensor:
    """Root mean square per picture, ``[b 1 1 1]``, over the samples that may change (`mask` ``[b 1 h w]`` of 0 and 1).

    Where nothing changed, its gradient is zero, not infinite.
    """
    total = delta.square().flatten(1).mean(1)
    if mask is not None:
        total = total / mask.flatten(1).mean(1).clamp_min(1 / mask[0].numel())
    return total.clamp_min(1e-24).sqrt().view(-1, 1, 1, 1)
