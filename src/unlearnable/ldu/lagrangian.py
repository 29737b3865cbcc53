"""The budget as a Lagrangian, with real dual ascent: ``min_rho max_{lambda >= 0} -L + lambda (d(x, x') / b - 1)``.

LDU, arXiv 2510.03089, section 3 (its release keeps lambda fixed). The multiplier rises while the budget is broken,
falls while it is slack, and ends at zero where it does not bind; each picture has its own, or all share one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unlearnable.errors import UsageError
from unlearnable.models.features import distance
from unlearnable.protection.constraints import GRID, Constraint, LinfConstraint
from unlearnable.protection.perceptual import PerceptualConstraint, network

LARGEST = 0.01  # share of the samples, those that moved most, which stand for the L-inf distance
LEAST = 0.1  # in 1/255: the root mean square below which rounding to the 8-bit grid leaves nothing


def spent(constraint: Constraint, x: Tensor, delta: Tensor, mask: Tensor | None = None) -> Tensor:
    """``d / b`` of each picture for every part of a budget, ``[parts, b]``; 1 is all of it. Differentiable.

    Mean squared error against that of the PSNR; perceptual distance; for L-inf the mean over the samples that moved
    most, since the gradient of the largest alone would move one sample at a time. Means are over what `mask`
    ``[b 1 h w]`` of 0 and 1 lets change.
    """
    share = torch.ones(len(x), device=x.device) if mask is None else mask.flatten(1).mean(1).clamp_min(1e-6)
    if isinstance(constraint, LinfConstraint):
        flat = delta.abs().flatten(1)
        most = flat.topk(max(1, int(LARGEST * flat.shape[1])), 1).values.mean(1)
        return (most * (GRID / constraint.eps))[None]
    mean_square = delta.square().flatten(1).mean(1) / share * (GRID / constraint.radius) ** 2
    if isinstance(constraint, PerceptualConstraint):
        y = (x + delta).clamp(0, 1)
        return torch.stack([distance(x, y, network(x.device)) / constraint.bound / share, mean_square])
    return mean_square[None]


def check(constraint: Constraint) -> None:
    """Raise UsageError for a budget that no change on the 8-bit grid can meet and still be one."""
    least = 1.0 if isinstance(constraint, LinfConstraint) else LEAST
    if 0 < constraint.radius < least:
        give = "an eps of 1 or more" if isinstance(constraint, LinfConstraint) else "a PSNR of 60 dB or less"
        budget = constraint.describe()
        raise UsageError(f"the budget {budget} cannot be met by any change of 8-bit pictures: give {give}")


def steepest(constraint: Constraint, gradient: Tensor) -> Tensor:
    """A gradient of the objective, scaled for each picture as that of a full mean-square budget is.

    The multiplier at which the two balance is then about 1, whatever the objective's units; pictures and steps whose
    gradients are small count as much as others (normalised gradients).
    """
    flat = gradient.flatten(1)
    samples = gradient[0].numel()
    scale = 2 / ((constraint.radius / GRID) * samples**0.5) / flat.norm(dim=1).clamp_min(1e-20)
    return gradient * scale.view(-1, *[1] * (gradient.ndim - 1))


@dataclass
class Dual:
    """Multipliers of the parts of a budget: `value` ``[parts, b]``, or ``[parts, 1]`` shared by all pictures."""

    value: Tensor
    rate: float

    def penalty(self, used: Tensor) -> Tensor:
        """``lambda (d / b - 1)`` summed over the parts, ``[b]``, for `used` ``[parts, b]``."""
        return (self.value * (used - 1)).sum(0)

    @torch.no_grad()
    def ascend(self, used: Tensor) -> None:
        """One step of dual ascent, in place."""
        broken = used - 1
        if self.value.shape[1] == 1:
            broken = broken.mean(1, keepdim=True)
        self.value.add_(self.rate * broken).clamp_(min=0)
