"""Objectives about an edit of a picture: its inversion to noise, the first denoising step, or the whole edit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unlearnable.models.base import Model
from unlearnable.models.invert import denoise, descent, rise
from unlearnable.protection.goals import top
from unlearnable.protection.objectives import Batch, goal


@dataclass(frozen=True)
class InversionShift:
    """``||z_T(x) - z_T(clean)||^2``: DDIM inversion in `steps` moves ends elsewhere (DIA, arXiv 2510.00778)."""

    steps: int

    def __call__(self, model: Model, x: Tensor, batch: Batch) -> Tensor:
        times = descent(model.schedule, self.steps)[::-1]
        end = denoise(model, model.encode(x), batch.condition, times, rise)
        return (end - goal(batch)).square().flatten(1).mean(1)


@dataclass(frozen=True)
class EditedTo:
    """``-||edit(x) - target||^2``: an img2img run of `steps` moves gives the target picture.

    PhotoGuard's diffusion attack (Salman et al., arXiv 2302.06588, eq. 5). The run starts at a share `strength` of the
    noise; the gradient goes through all of it.
    """

    steps: int = 4
    strength: float = 0.8

    def __call__(self, model: Model, x: Tensor, batch: Batch) -> Tensor:
        start = top(model, self.strength)
        z_t = model.noised(model.encode(x), batch.noise, torch.full_like(batch.t, start))
        times = descent(model.schedule, min(self.steps, start + 1), start)
        edited = model.decode(denoise(model, z_t, batch.condition, times))
        return -(edited - goal(batch)).square().flatten(1).mean(1)


@dataclass(frozen=True)
class FirstPrediction:
    """``||eps_hat(z_t)||^2`` at the first step of an edit from `strength` on (DiffusionGuard, arXiv 2410.05694)."""

    strength: float = 0.8

    def __call__(self, model: Model, x: Tensor, batch: Batch) -> Tensor:
        t = torch.full_like(batch.t, top(model, self.strength))
        z_t = model.noised(model.encode(x), batch.noise, t)
        out = model.predict(z_t, t, batch.condition)
        return model.schedule.split(z_t, t, out)[1].square().flatten(1).mean(1)
