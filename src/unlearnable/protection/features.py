"""Objectives about the denoiser's inner features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unlearnable.models.base import Model
from unlearnable.models.finetune.training import denoising_loss
from unlearnable.models.watch import last_resnets, recorded, squared_difference
from unlearnable.protection.objectives import Batch, goal


@dataclass(frozen=True)
class FeatureShift:
    """``L(x) + weight * sum ||f(x) - f(clean)||^2`` over the last up-block's residual blocks (SimAC, arXiv 2312.07865).

    Both sides at the same time and noise; `Batch.goal` are the clean pictures' latents. Squared differences are means.
    """

    weight: float = 1.0

    def __call__(self, model: Model, x: Tensor, batch: Batch) -> Tensor:
        layers, t = last_resnets(model), batch.t
        with torch.no_grad(), recorded(layers) as clean:
            model.predict(model.noised(goal(batch), batch.noise, t), t, batch.condition)
        with recorded(layers) as protected:
            loss = denoising_loss(model, model.encode(x), batch.noise, t, batch.condition)
        return loss + self.weight * squared_difference(protected, clean)
