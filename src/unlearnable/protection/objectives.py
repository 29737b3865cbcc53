"""Objectives that a protection maximises: functions ``(model, x, batch) -> [b]``, larger is better protected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from unlearnable.errors import UsageError
from unlearnable.models.base import Condition, Model
from unlearnable.models.finetune.training import denoising_loss
from unlearnable.protection.target import picture


@dataclass(frozen=True)
class Batch:
    """One draw: times ``[b]``, noise of latent shape, text conditioning, and the target's latents where one is used."""

    t: Tensor
    noise: Tensor
    condition: Condition
    goal: Tensor | None = None


ITSELF, LATENTS = "itself", "latents"  # goals of those that compare with the clean picture's own posterior, or latents
Loss = Callable[[Model, Tensor, Batch], Tensor]
Goal = Callable[[Model, Tensor, Tensor | None], Tensor]  # (model, clean pictures, a picture that was given) -> goal


@runtime_checkable
class Prompted(Protocol):
    """A loss or a goal that depends on the prompt; `for_prompt` gives the one for a run."""

    def for_prompt(self, model: Model, prompt: str) -> Any: ...


@dataclass(frozen=True)
class Objective:
    """A function `loss` and its goal to compare with: a name of `target.picture`, `ITSELF`, `LATENTS` or a `Goal`.

    `score` takes the place of `loss` where results are compared (`Protection.evaluate`). `needs` is called with the
    model before anything is computed, and raises UsageError for one that the loss cannot be asked of.
    """

    loss: Loss
    goal: str | Goal | None = None
    score: Loss | None = None
    needs: Callable[[Model], object] | None = None

    def __call__(self, model: Model, x: Tensor, batch: Batch) -> Tensor:
        return self.loss(model, x, batch)

    @property
    def own(self) -> bool:
        """Whether it compares with the clean pictures themselves, which `Protection.evaluate` is then given."""
        return self.goal in (ITSELF, LATENTS) or bool(getattr(self.goal, "own", False))

    def prepared(self, model: Model, prompt: str) -> Objective:
        """The objective for a run; raises UsageError for a model that it cannot be asked of."""
        if self.needs:
            self.needs(model)
        parts: dict[str, object] = {"loss": self.loss, "goal": self.goal}
        prompted: dict[str, Any] = {
            n: part.for_prompt(model, prompt) for n, part in parts.items() if isinstance(part, Prompted)
        }
        return replace(self, **prompted)

    def target(self, model: Model, x: Tensor, replacement: Tensor | None = None) -> Tensor | None:
        """The batch's `goal` for clean pictures `x` ``[b 3 h w]``: a code, a posterior, or None.

        `replacement` ``[1 3 h w]`` takes the place of the goal's own picture; raises UsageError where its size differs.
        """
        if self.goal is None:
            return None
        if self.goal == LATENTS:
            return model.encode(x if replacement is None else replacement.to(x))
        if not isinstance(self.goal, str):
            return self.goal(model, x, replacement)
        if self.goal == ITSELF:
            return model.posterior(x if replacement is None else replacement.to(x))
        image = picture(self.goal, x.shape[-2], x.shape[-1]) if replacement is None else replacement
        if image.shape[-2:] != x.shape[-2:]:
            raise UsageError(
                f"the target is {tuple(image.shape[-2:])} px and the pictures {tuple(x.shape[-2:])}: scale it first"
            )
        return model.encode(image.to(x)).expand(len(x), -1, -1, -1)


def denoising(model: Model, x: Tensor, batch: Batch) -> Tensor:
    """``L(x) = ||out(z_t) - target||^2``: what the attacker minimises (AdvDM, arXiv 2302.04578, eq. 7)."""
    return denoising_loss(model, model.encode(x), batch.noise, batch.t, batch.condition)


def negative(model: Model, x: Tensor, batch: Batch) -> Tensor:
    """``-L(x)``: how far a method that descends the loss has come."""
    return -denoising(model, x, batch)


def posterior(model: Model, x: Tensor, batch: Batch) -> Tensor:
    """``||mean - mean'||^2 + ||logvar - logvar'||^2`` from the clean picture's posterior (PID, arXiv 2406.15305)."""
    return (model.posterior(x) - goal(batch)).square().flatten(1).mean(1)


def encoder(model: Model, x: Tensor, batch: Batch) -> Tensor:
    """``-||E(x) - E(target)||^2``: the autoencoder takes the picture for the target (PhotoGuard, arXiv 2302.06588)."""
    return -(model.encode(x) - goal(batch)).square().flatten(1).mean(1)


@dataclass(frozen=True)
class Mist:
    """Semantic plus textural: ``weight * L(x) - ||E(x) - E(target)||^2`` (Mist, arXiv 2305.12683, eq. 5)."""

    weight: float = 1.0

    def __call__(self, model: Model, x: Tensor, batch: Batch) -> Tensor:
        z = model.encode(x)
        semantic = denoising_loss(model, z, batch.noise, batch.t, batch.condition)
        return self.weight * semantic - (z - goal(batch)).square().flatten(1).mean(1)


@dataclass(frozen=True)
class ScoreDistillation:
    """``sign * (eps_hat - eps) . z``, the denoiser's Jacobian dropped (score distillation, arXiv 2311.12832).

    +1 ascends the denoising loss, -1 descends it, which flattens the picture's details; its paper prefers -1.
    """

    sign: int

    def __call__(self, model: Model, x: Tensor, batch: Batch) -> Tensor:
        z = model.encode(x)
        with torch.no_grad():
            z_t = model.noised(z, batch.noise, batch.t)
            out = model.predict(z_t, batch.t, batch.condition)
            residual = model.schedule.split(z_t, batch.t, out)[1] - batch.noise  # in eps, whatever the network predicts
        return self.sign * (residual * z).flatten(1).mean(1)


def consistent_error(model: Model, x: Tensor, batch: Batch) -> Tensor:
    """``-||out(z_t) - z_target||^2``: every answer is drawn to one pattern (ACE, arXiv 2310.04687, eq. 6)."""
    z_t = model.noised(model.encode(x), batch.noise, batch.t)
    out = model.predict(z_t, batch.t, batch.condition)
    return -(out - goal(batch)).square().flatten(1).mean(1)


def goal(batch: Batch) -> Tensor:
    assert batch.goal is not None, "this loss needs a target: its Objective must name a goal"
    return batch.goal
