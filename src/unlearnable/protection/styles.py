"""A picture's style as the model's latents have it: each channel's mean and variance."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unlearnable.models.base import Model
from unlearnable.models.finetune.training import denoising_loss
from unlearnable.protection.against import moments
from unlearnable.protection.goals import Picture
from unlearnable.protection.objectives import Batch, goal


@dataclass(frozen=True)
class Styles:
    """Means and variances of the picture's own latents and of another style's (`target.picture`), ``[b 2 2 c]``."""

    name: str

    def __call__(self, model: Model, x: Tensor, replacement: Tensor | None = None) -> Tensor:
        style = Picture(self.name)(model, x, replacement)
        return torch.stack([moments(model.encode(x)), moments(model.encode(style))], 1)


@dataclass(frozen=True)
class StyleShift:
    """``L(x) + weight [d(m(x), own) - d(m(x), other)]``, d the squared distance of moments (StyleGuard)."""

    weight: float = 0.1

    def __call__(self, model: Model, x: Tensor, batch: Batch) -> Tensor:
        z = model.encode(x)
        own, other = (moments(z)[:, None] - goal(batch)).square().flatten(2).mean(2).unbind(1)
        return denoising_loss(model, z, batch.noise, batch.t, batch.condition) + self.weight * (own - other)
