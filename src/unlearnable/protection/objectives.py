"""What a protection maximises: functions ``(model, x, batch) -> [b]``, larger is better protected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from unlearnable.models.base import Condition, Model
from unlearnable.models.finetune.training import denoising_loss


@dataclass(frozen=True)
class Batch:
    """One draw: times ``[b]``, noise of latent shape, text conditioning, and the target's latents where one is used."""

    t: Tensor
    noise: Tensor
    condition: Condition
    goal: Tensor | None = None


ITSELF = "itself"  # the goal of those that compare with the clean picture's own posterior
Objective = Callable[[Model, Tensor, Batch], Tensor]


def denoising(model: Model, x: Tensor, batch: Batch) -> Tensor:
    """``L(x) = ||out(z_t) - target||^2``: what the attacker minimises (AdvDM, arXiv 2302.04578, eq. 7)."""
    return denoising_loss(model, model.encode(x), batch.noise, batch.t, batch.condition)


def nothing(model: Model, x: Tensor, batch: Batch) -> Tensor:
    """No objective of a model's: encoders alone count (`against`). It is never asked."""
    return torch.zeros(len(x), device=x.device)


def negative(model: Model, x: Tensor, batch: Batch) -> Tensor:
    """``-L(x)``: how far a method that descends the loss has come."""
    return -denoising(model, x, batch)


def posterior(model: Model, x: Tensor, batch: Batch) -> Tensor:
    """``||mean - mean'||^2 + ||logvar - logvar'||^2`` from the clean picture's posterior (PID, arXiv 2406.15305)."""
    return (model.posterior(x) - goal(batch)).square().flatten(1).mean(1)


def encoder(model: Model, x: Tensor, batch: Batch) -> Tensor:
    """``-||E(x) - E(target)||^2``: the autoencoder takes the picture for the target (PhotoGuard, arXiv 2302.06588)."""
    return -(model.encode(x) - goal(batch)).square().flatten(1).mean(1)


@cache
def mist(weight: float = 1.0) -> Objective:
    """Semantic plus textural: ``weight * L(x) - ||E(x) - E(target)||^2`` (Mist, arXiv 2305.12683, eq. 5).

    Cached, so that settings with the same weight are equal.
    """

    def objective(model: Model, x: Tensor, batch: Batch) -> Tensor:
        z = model.encode(x)
        semantic = denoising_loss(model, z, batch.noise, batch.t, batch.condition)
        return weight * semantic - (z - goal(batch)).square().flatten(1).mean(1)

    return objective


def sds(sign: float) -> Objective:
    """``sign * (eps_hat - eps) . z``, the denoiser's Jacobian dropped (score distillation, arXiv 2311.12832).

    +1 ascends the denoising loss, -1 descends it, which flattens the picture's details; its paper prefers -1.
    """

    def objective(model: Model, x: Tensor, batch: Batch) -> Tensor:
        z = model.encode(x)
        with torch.no_grad():
            z_t = model.noised(z, batch.noise, batch.t)
            out = model.predict(z_t, batch.t, batch.condition)
            residual = model.schedule.split(z_t, batch.t, out)[1] - batch.noise  # in eps, whatever the network predicts
        return sign * (residual * z).flatten(1).mean(1)

    return objective


def consistent_error(model: Model, x: Tensor, batch: Batch) -> Tensor:
    """``-||out(z_t) - z_target||^2``: every answer is drawn to one pattern (ACE, arXiv 2310.04687, eq. 6)."""
    z_t = model.noised(model.encode(x), batch.noise, batch.t)
    out = model.predict(z_t, batch.t, batch.condition)
    return -(out - goal(batch)).square().flatten(1).mean(1)


def goal(batch: Batch) -> Tensor:
    assert batch.goal is not None, "this objective needs a target: its Protection must name one"
    return batch.goal
