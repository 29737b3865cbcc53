"""A budget for edges: large where the picture changes most from pixel to pixel, small elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnable.errors import UsageError
from unlearnable.protection.constraints import GRID, ROUND_OFF, LinfConstraint, masked
from unlearnable.protection.visibility import Limits


@dataclass(frozen=True)
class EdgeConstraint:
    """No sample moves by more than `eps`/255 in the mask, nor by more than `outside`/255 elsewhere.

    The mask is the `share` of pixels with the largest Laplacian (3 x 3, of the grey picture in whole levels, edges
    repeated; ties are all in). It belongs to the size of the picture at hand: where a picture is protected at a smaller
    scale than it is written at, the file's mask is its own, finer one.
    """

    eps: float
    outside: float
    share: float = 0.03

    def __post_init__(self) -> None:
        LinfConstraint(self.eps)
        if not 0 <= self.outside <= self.eps:
            raise UsageError(f"outside {self.outside:g} is out of range: give 0 to eps ({self.eps:g})")
        if not 0 < self.share <= 1:
            raise UsageError(f"share {self.share:g} is out of range: give more than 0, at most 1")

    @property
    def radius(self) -> float:
        return self.eps

    def start(self, noise: Tensor) -> Tensor:
        return torch.where(noise < 0, -1.0, 1.0) * (self.eps / GRID)

    def limits(self, x: Tensor) -> Limits | None:
        return None

    def direction(self, gradient: Tensor, limits: Limits | None = None) -> Tensor:
        return gradient.sign()

    def project(self, x: Tensor, delta: Tensor, mask: Tensor | float = 1.0, limits: Limits | None = None) -> Tensor:
        bound = masked(mask, delta) * self._bound(x) / GRID
        return (x + delta.clamp(-bound, bound)).clamp(0, 1) - x

    def seal(self, x: Tensor, delta: Tensor, mask: Tensor | float = 1.0) -> Tensor:
        bound = masked(mask, delta) * self._bound(x[None] / GRID)[0]
        levels = (torch.minimum(delta.abs(), bound) + ROUND_OFF).floor() * delta.sign()
        return (x + levels).clamp(0, GRID) - x

    def is_satisfied(self, change: Tensor, x: Tensor | None = None, mask: Tensor | float = 1.0) -> bool:
        assert x is not None, "where edges are depends on the picture"
        return bool((change.abs() <= self._bound(x[None] / GRID)[0]).all())

    def describe(self) -> str:
        return f"L-inf {self.eps:g}/255 on edges, {self.outside:g}/255 elsewhere"

    def _bound(self, x: Tensor) -> Tensor:
        """In levels, ``[b 1 h w]``, of pictures ``[b 3 h w]`` in [0, 1]."""
        return torch.where(edges(x, self.share), self.eps, self.outside)


def edges(x: Tensor, share: float) -> Tensor:
    """The `share` of pixels with the largest Laplacian, ``[b 1 h w]``; a picture without any change has none."""
    grey = (x * GRID).round().sum(1, keepdim=True)
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]], device=x.device)
    size = F.conv2d(F.pad(grey, (1, 1, 1, 1), mode="replicate"), kernel[None, None]).abs()
    count = max(1, round(share * size[0].numel()))
    least = size.flatten(1).topk(count, 1).values[:, -1].view(-1, 1, 1, 1)
    return (size >= least) & (size > 0)
