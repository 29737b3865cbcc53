"""Pixel-space DDPM: the "latent" is the picture itself in [-1, 1]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlearnable.errors import UsageError
from unlearnable.models.base import Condition, Model, weight_dtype
from unlearnable.models.schedule import from_scheduler


class PixelDDPM(Model):
    """Unconditional DDPM (arXiv 2006.11239); prompts are accepted and ignored."""

    family = "ddpm"

    def __init__(self, pipe: Any, name: str, amp: torch.dtype | None) -> None:
        super().__init__(pipe, name, pipe.unet, from_scheduler(pipe.scheduler), amp)
        config = pipe.unet.config
        if (config.in_channels, config.out_channels) != (3, 3):
            raise UsageError(f"{name!r} works on {config.in_channels} channels: a pixel model must take and give 3")
        self.size, self.multiple = self.scale(config, {})

    @classmethod
    def scale(cls, denoiser: Mapping[str, Any], vae: Mapping[str, Any]) -> tuple[int, int]:
        return denoiser["sample_size"], 2 ** (len(denoiser["block_out_channels"]) - 1)

    def encode(self, x: Tensor) -> Tensor:
        return 2 * x - 1

    def decode(self, z: Tensor) -> Tensor:
        return (z + 1) / 2

    def condition(self, prompts: Sequence[str]) -> Condition:
        return Condition()

    def predict(self, z_t: Tensor, t: Tensor, c: Condition) -> Tensor:
        with self.autocast():
            prediction: Tensor = self.denoiser(
                z_t.to(weight_dtype(self.denoiser)), self.schedule.timestep[t]
            ).sample.float()
            return prediction

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        return 3, height, width

    def call(self, prompts: Sequence[str], guidance: float, side: int) -> dict[str, Any]:
        return {"batch_size": len(prompts)}

    def modules(self) -> list[nn.Module]:
        return [self.denoiser]
