"""The variables that the ascent moves: the picture's samples (here), or its trajectory's start (`unlearnable.ldu`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from unlearnable import rng
from unlearnable.errors import UsageError
from unlearnable.models.base import Model
from unlearnable.protection import patterns
from unlearnable.protection.constraints import Constraint
from unlearnable.protection.smooth import chosen, smoothed
from unlearnable.protection.visibility import Limits


@dataclass(frozen=True)
class Scene:
    """Pictures `x` ``[b 3 h w]`` in [0, 1] on the model's device, and what may be done to them.

    `keys` name each picture's randomness; `mask` ``[b 1 h w]`` is 0 where nothing may change; `constraint` is the
    budget. Grey pictures (`grey` ``[b 1 1 1]``) stay grey.
    """

    x: Tensor
    keys: Sequence[str]
    mask: Tensor
    constraint: Constraint
    prompt: str
    seed: int

    @property
    def grey(self) -> Tensor:
        return (self.x == self.x[:, :1]).flatten(1).all(1).view(-1, 1, 1, 1)

    @cached_property
    def limits(self) -> Limits | None:
        return self.constraint.limits(self.x)

    def project(self, delta: Tensor) -> Tensor:
        return self.constraint.project(self.x, delta, self.mask, self.limits)

    def direction(self, gradient: Tensor) -> Tensor:
        """A step of unit size up the gradient ``[b 3 h w]``, where something may change."""
        return self.constraint.direction(tied(gradient, self.grey) * self.mask, self.limits)


class Perturbation(Protocol):
    """`delta` is the change so far, within the budget; `seen` is what the objective is asked about."""

    @property
    def delta(self) -> Tensor: ...
    @property
    def seen(self) -> Tensor: ...
    def move(self, gradient: Tensor, pace: Tensor | float = 1.0) -> None:
        """One step up the objective, whose gradient at `seen` this is, `pace` ``[b 1 1 1]`` times as long as usual."""
        ...


class Parameterisation(Protocol):
    """Settings of a perturbation; `begin` makes its state for one group of pictures."""

    @property
    def learns(self) -> bool:
        """Whether it trains something on the pictures, so that those of one call depend on one another."""
        ...

    @property
    def asks_model(self) -> bool:
        """Whether the result depends on the model even without a step."""
        ...

    @property
    def latent(self) -> bool:
        """Whether the objective is asked about latents instead of pictures."""
        ...

    def check(self, constraint: Constraint) -> None:
        """Raise UsageError for a budget that it cannot obey."""
        ...

    def remark(self, model: Model) -> str:
        """A sentence for the user about a run with this model, or an empty one."""
        ...

    def begin(self, model: Model, scene: Scene, steps: int) -> Perturbation:
        """The perturbation before the first of `steps`."""
        ...


STARTS = ("zero", "uniform", "sign", "grey", "patterns")


@dataclass(frozen=True)
class Pixels:
    """Each sample moves by itself: projected gradient ascent, by `step` times the budget.

    `start`: "zero", "uniform" inside the budget, "sign" on its boundary, "grey": towards each pixel's mean, or
    "patterns" that were learned before, from the file `patterns` (those that ship, if empty). `blur`: what is added is
    a blurred form of what moves, by as much as makes it like the picture (`protection.smooth`).
    """

    step: float = 0.1
    start: str = "uniform"
    patterns: str = ""
    blur: bool = False
    learns: ClassVar[bool] = False
    asks_model: ClassVar[bool] = False
    latent: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.start not in STARTS:
            raise UsageError(f"unknown start {self.start!r}: use one of {', '.join(STARTS)}")
        if self.patterns:
            patterns.check(Path(self.patterns))

    def check(self, constraint: Constraint) -> None:
        """Every budget will do."""

    def remark(self, model: Model) -> str:
        return ""

    def begin(self, model: Model, scene: Scene, steps: int = 0) -> PixelPerturbation:
        return PixelPerturbation(self, scene)


class PixelPerturbation:
    """The state of `Pixels` for one group of pictures."""

    def __init__(self, settings: Pixels, scene: Scene) -> None:
        self.scene, self.step = scene, settings.step
        self.masks = chosen(scene.x) if settings.blur else None
        self._put(scene.project(self._start(settings)))

    def _put(self, moved: Tensor) -> None:
        """`moved` is what steps add up to, and `delta` what is added to the picture."""
        self.moved = moved
        self.delta = moved if self.masks is None else self.scene.project(smoothed(moved, self.masks))

    def _back(self, gradient: Tensor) -> Tensor:
        """The gradient at what moves, of the one at the picture."""
        if self.masks is None:
            return gradient
        with torch.enable_grad():
            moved = self.moved.detach().requires_grad_(True)
            (carried,) = torch.autograd.grad(smoothed(moved, self.masks), moved, gradient)
        return carried

    @property
    def seen(self) -> Tensor:
        return self.scene.x + self.delta

    def move(self, gradient: Tensor, pace: Tensor | float = 1.0) -> None:
        up = self.scene.direction(self._back(gradient)) * (self.step * self.scene.constraint.radius / 255)
        self._put(self.scene.project(self.moved + pace * up))

    def _start(self, settings: Pixels) -> Tensor:
        x, scene = self.scene.x, self.scene
        if settings.start == "zero":
            return torch.zeros_like(x)
        if settings.start == "grey":
            return x.mean(1, keepdim=True) - x
        if settings.start == "patterns":
            return scene.direction(patterns.load(settings.patterns).of(x)) * (scene.constraint.radius / 255)
        noise = 2 * rng.uniform(scene.keys, x.shape[1:], "start", scene.seed, device=x.device) - 1
        noise = tied(noise, scene.grey)
        return scene.constraint.start(noise) if settings.start == "sign" else noise * (scene.constraint.radius / 255)


def tied(delta: Tensor, grey: Tensor) -> Tensor:
    """The same change in all channels of grey pictures (`grey` ``[b 1 1 1]``), which so stay grey."""
    return torch.where(grey, delta.mean(1, keepdim=True), delta)
