"""A perceptual budget: a bound on the distance in the feature network that ships, and a floor in PSNR."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from unlearnable.errors import SetupError, UsageError
from unlearnable.models.features import FOLDER, FeatureNetwork, distance
from unlearnable.protection.constraints import GRID, L2Constraint, masked, psnr_of
from unlearnable.protection.visibility import Limits

ROUNDS = 12  # of bisection


@cache
def network(device: torch.device) -> FeatureNetwork:
    """The feature network that ships, on a device."""
    if not (FOLDER / "model.safetensors").is_file():
        raise SetupError("the embedded feature network is missing: reinstall the package, or use a PSNR budget")
    return FeatureNetwork.from_folder().to(device)


@dataclass(frozen=True)
class PerceptualConstraint:
    """The perceptual distance is at most `bound`, and the root mean square change at most `rms`/255 (10: 28 dB)."""

    bound: float
    rms: float = 10.0
    local: bool = False

    def __post_init__(self) -> None:
        if not self.bound > 0:
            raise UsageError(
                f"a perceptual distance of {self.bound:g} allows no change: give 0.1 (hardly seen) or more"
            )

    @property
    def radius(self) -> float:
        return self.rms

    def start(self, noise: Tensor) -> Tensor:
        return L2Constraint(self.rms, self.local).start(noise)

    def limits(self, x: Tensor) -> Limits | None:
        return L2Constraint(self.rms, self.local).limits(x)

    def direction(self, gradient: Tensor, limits: Limits | None = None) -> Tensor:
        return L2Constraint(self.rms, self.local).direction(gradient, limits)

    def project(self, x: Tensor, delta: Tensor, mask: Tensor | float = 1.0, limits: Limits | None = None) -> Tensor:
        delta = L2Constraint(self.rms, self.local).project(x, delta, mask, limits)
        return delta * self._fitting(x, delta.detach(), masked(mask, delta)).view(-1, 1, 1, 1)

    @torch.no_grad()
    def _fitting(self, x: Tensor, delta: Tensor, mask: Tensor) -> Tensor:
        """The largest factor up to 1 at which each picture looks near enough, ``[b]``, about."""
        bound = self.bound * mask.flatten(1).mean(1)  # a mean over the whole picture, of which a part may change
        inside = self._distance(x, x + delta) <= bound
        if inside.all():
            return torch.ones(len(x), device=x.device)
        low, high = torch.zeros(len(x), device=x.device), torch.ones(len(x), device=x.device)
        for _ in range(ROUNDS):
            middle = (low + high) / 2
            fits = self._distance(x, x + delta * middle.view(-1, 1, 1, 1)) <= bound
            low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
        return torch.where(inside, 1.0, low)

    @torch.no_grad()
    def seal(self, x: Tensor, delta: Tensor, mask: Tensor | float = 1.0) -> Tensor:
        # The largest root mean square, of those L2 can make of this change, at which the file looks near enough.
        low, high, best = 0.0, self.rms, torch.zeros_like(delta)
        for _ in range(ROUNDS):
            middle = (low + high) / 2
            levels = L2Constraint(middle, self.local).seal(x, delta, mask)
            if self.is_satisfied(levels, x, mask):
                best, low = levels, middle
            else:
                high = middle
        return best

    def is_satisfied(self, change: Tensor, x: Tensor | None = None, mask: Tensor | float = 1.0) -> bool:
        assert x is not None, "how a change looks depends on the picture"
        before, after = x[None] / GRID, (x + change)[None] / GRID
        bound = self.bound * float(masked(mask, change).mean())
        near = bool(self._distance(before, after) <= bound)
        return near and L2Constraint(self.rms, self.local).is_satisfied(change, x, mask)

    def describe(self) -> str:
        return f"perceptual distance <= {self.bound:g}, PSNR >= {psnr_of(self.rms):.2f} dB"

    def _distance(self, x: Tensor, y: Tensor) -> Tensor:
        return distance(x, y, network(x.device))
