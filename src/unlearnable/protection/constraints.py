"""How far a picture may move. Every constraint ends on the 8-bit grid, where the file will be written.

Budgets are in units of 1/255 of 8-bit output, at the size at which the perturbation is added. Pictures `x` and
perturbations `delta` are ``[b 3 h w]`` in [0, 1] units. `free` ``[b 1 h w]`` in [0, 1] says how much of the budget each
pixel may use: 0 is a mask, values between are weights that make smooth parts quieter. L-inf scales its bound by it. L2
and the perceptual distance keep what is masked at zero, and are means over the pixels that may change: a small mask
leaves a small budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from unlearnable.errors import UsageError
from unlearnable.protection.visibility import Limits, limits

GRID = 255.0
LARGEST_GAIN = 4.0  # how far sealing may scale a perturbation up to use an L2 budget
SLACK = 1.0  # in 1/255: what rounding to the 8-bit grid may add to a local bound
ROUND_OFF = 1e-4  # in 1/255: a level that float32 arithmetic put this close below a whole number is that number


class Constraint(Protocol):
    """`radius` is the budget in 1/255."""

    @property
    def radius(self) -> float: ...
    def start(self, noise: Tensor) -> Tensor:
        """A perturbation on the boundary in the direction of `noise`."""
        ...

    def direction(self, gradient: Tensor) -> Tensor:
        """The steepest ascent of unit size in this geometry."""
        ...

    def project(self, x: Tensor, delta: Tensor, free: Tensor | float = 1.0) -> Tensor:
        """The nearest allowed perturbation that keeps ``x + delta`` a picture."""
        ...

    def seal(self, x: Tensor, delta: Tensor, free: Tensor | float = 1.0) -> Tensor:
        """An allowed perturbation in whole levels, for `x` in whole levels (both ``[3 h w]`` float, 0 .. 255)."""
        ...

    def is_satisfied(self, change: Tensor, x: Tensor | None = None, free: Tensor | float = 1.0) -> bool:
        """Whether a change of `x` in levels, as measured on a written file, is within the budget."""
        ...

    def describe(self) -> str: ...


@dataclass(frozen=True)
class LinfConstraint:
    """No sample moves by more than `eps`/255."""

    eps: float

    def __post_init__(self) -> None:
        if not 0 <= self.eps <= GRID:
            raise UsageError(f"eps {self.eps:g} is out of range: give 0 to 255, in levels of 8-bit output")

    @property
    def radius(self) -> float:
        return self.eps

    def start(self, noise: Tensor) -> Tensor:
        return torch.where(noise < 0, -1.0, 1.0) * (self.eps / GRID)

    def direction(self, gradient: Tensor) -> Tensor:
        return gradient.sign()

    def project(self, x: Tensor, delta: Tensor, free: Tensor | float = 1.0) -> Tensor:
        bound = torch.as_tensor(free) * (self.eps / GRID)
        return (x + delta.clamp(-bound, bound)).clamp(0, 1) - x

    def seal(self, x: Tensor, delta: Tensor, free: Tensor | float = 1.0) -> Tensor:
        # Towards zero, never to the nearest: 4.5 rounded to 5 would break a budget of 4.5.
        bound = torch.as_tensor(free) * self.eps
        whole = (torch.minimum(delta.abs(), bound) + ROUND_OFF).floor() * delta.sign()
        return (x + whole).clamp(0, GRID) - x

    def is_satisfied(self, change: Tensor, x: Tensor | None = None, free: Tensor | float = 1.0) -> bool:
        return bool(change.abs().max() <= self.eps)

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

    def direction(self, gradient: Tensor) -> Tensor:
        return gradient / rms(gradient).clamp_min(1e-12)

    def project(self, x: Tensor, delta: Tensor, free: Tensor | float = 1.0) -> Tensor:
        mask = masked(free, delta)
        delta = delta * mask
        if self.local:
            delta = limits(x, self.rms / GRID).clip(delta) * mask
        scale = (self.rms / GRID / rms(delta, mask).clamp_min(1e-12)).clamp_max(1)
        return (x + delta * scale).clamp(0, 1) - x

    def seal(self, x: Tensor, delta: Tensor, free: Tensor | float = 1.0) -> Tensor:
        mask = masked(free, delta)
        delta, bound = delta * mask, self._limits(x)
        # Rounding changes the norm, so the largest scale that obeys is found on the rounded result itself. An ascent
        # that stopped inside the ball is scaled up to its boundary: the PSNR asked for is the PSNR of the file.
        full = self.rms / max(float(rms(delta[None].double(), mask[None])), 1e-9)
        low, high, best = 0.0, min(LARGEST_GAIN, 1.2 * full), torch.zeros_like(delta)
        for _ in range(24):
            scale = (low + high) / 2
            wanted = delta * scale if bound is None else bound.clip(delta[None] * (scale / GRID))[0] * mask * GRID
            whole = (x + wanted.round()).clamp(0, GRID) - x
            if self._within(whole, bound, mask):
                best, low = whole, scale
            else:
                high = scale
        return best

    def is_satisfied(self, change: Tensor, x: Tensor | None = None, free: Tensor | float = 1.0) -> bool:
        return self._within(change, None if x is None else self._limits(x), masked(free, change))

    def _within(self, change: Tensor, bound: Limits | None, mask: Tensor) -> bool:
        if change.any() and float(rms(change[None].double(), mask[None])) > self.rms:
            return False
        return bound is None or bound.is_satisfied(change[None] / GRID, SLACK / GRID)

    def _limits(self, x: Tensor) -> Limits | None:
        return limits(x[None] / GRID, self.rms / GRID) if self.local else None

    def describe(self) -> str:
        return f"PSNR >= {psnr_of(self.rms):.2f} dB" if self.rms else "no change"


def psnr(decibel: float, local: bool = False) -> L2Constraint:
    """Peak signal-to-noise ratio of at least `decibel`: an L2 ball of radius ``255 * 10^(-dB/20)``."""
    if not 10 <= decibel <= 100:
        raise UsageError(f"PSNR {decibel:g} dB is out of range: give 10 to 100 (36 is hard to see, 30 is visible)")
    return L2Constraint(GRID * 10 ** (-decibel / 20), local)


def psnr_of(rms_levels: float) -> float:
    """PSNR in dB of a root mean square error in 1/255."""
    return float(20 * torch.log10(torch.tensor(GRID / rms_levels, dtype=torch.float64)))


def masked(free: Tensor | float, like: Tensor) -> Tensor:
    """1 where a sample may change and 0 elsewhere, of the shape of `like` but for its channels."""
    return (torch.as_tensor(free, device=like.device) > 0).to(like.dtype).expand(*like.shape[:-3], 1, *like.shape[-2:])


def rms(delta: Tensor, mask: Tensor | None = None) -> Tensor:
    """Root mean square per picture, ``[b 1 1 1]``, over the samples that may change (`mask` ``[b 1 h w]`` of 0 and 1).

    Where nothing changed, its gradient is zero, not infinite.
    """
    total = delta.square().flatten(1).mean(1)
    if mask is not None:
        total = total / mask.flatten(1).mean(1).clamp_min(1 / mask[0].numel())
    return total.clamp_min(1e-24).sqrt().view(-1, 1, 1, 1)
