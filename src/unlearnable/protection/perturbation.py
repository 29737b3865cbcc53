"""What the ascent moves: the picture's samples (here), or what they are decoded from (`unlearnable.ldu`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from unlearnable import rng
from unlearnable.protection.constraints import Constraint


@dataclass(frozen=True)
class Scene:
    """Pictures `x` ``[b 3 h w]`` in [0, 1] on the model's device, and what may be done to them.

    `keys` name each picture's randomness; `allowed` ``[b 1 h w]`` is the share of the budget a pixel may use;
    `constraint` the budget. Grey pictures (`grey` ``[b 1 1 1]``) stay grey.
    """

    x: Tensor
    keys: Sequence[str]
    allowed: Tensor
    constraint: Constraint
    prompt: str
    seed: int

    @property
    def grey(self) -> Tensor:
        return (self.x == self.x[:, :1]).flatten(1).all(1).view(-1, 1, 1, 1)

    def project(self, delta: Tensor) -> Tensor:
        return self.constraint.project(self.x, delta, self.allowed)


class Perturbation(Protocol):
    """`delta` is the change so far, within the budget; `seen` is what the objective is asked about."""

    @property
    def delta(self) -> Tensor: ...
    @property
    def seen(self) -> Tensor: ...
    def move(self, gradient: Tensor) -> None:
        """One step up the objective, whose gradient at `seen` this is."""
        ...


class Pixels:
    """Each sample moves by itself: projected gradient ascent, by `length` times the budget a step.

    `start`: "zero", "uniform" inside the budget, "sign" on its boundary, or "grey": towards each pixel's mean.
    """

    def __init__(self, scene: Scene, start: str, length: float) -> None:
        self.scene, self.length = scene, length
        self.delta = scene.project(self._start(start))

    @property
    def seen(self) -> Tensor:
        return self.scene.x + self.delta

    def move(self, gradient: Tensor) -> None:
        scene, budget = self.scene, self.scene.constraint
        move = budget.direction(tied(gradient, scene.grey) * scene.allowed) * (self.length * budget.size / 255)
        self.delta = scene.project(self.delta + move)

    def _start(self, start: str) -> Tensor:
        x, scene = self.scene.x, self.scene
        if start == "zero":
            return torch.zeros_like(x)
        if start == "grey":
            return x.mean(1, keepdim=True) - x
        noise = 2 * rng.uniform(scene.keys, x.shape[1:], "start", scene.seed, device=x.device) - 1
        noise = tied(noise, scene.grey)
        return scene.constraint.start(noise) if start == "sign" else noise * (scene.constraint.size / 255)


def tied(delta: Tensor, grey: Tensor) -> Tensor:
    """The same change in all channels of grey pictures (`grey` ``[b 1 1 1]``), which so stay grey."""
    return torch.where(grey, delta.mean(1, keepdim=True), delta)
