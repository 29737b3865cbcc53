"""Latent models: their common base with an autoencoder, and the U-Net families SD 1, SD 2 and SDXL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unlearnable.models.base import Condition, Model, weight_dtype
from unlearnable.models.schedule import from_scheduler


def reduction(vae: Mapping[str, Any]) -> int:
    """The number of pixel rows per row of latents."""
    return int(2 ** (len(vae["block_out_channels"]) - 1))


class LatentModel(Model):
    """Encodes and decodes through an AutoencoderKL with its scale and shift, as the stock pipelines do."""

    def __init__(self, pipe: Any, name: str, denoiser: Any, amp: torch.dtype | None) -> None:
        self.vae = pipe.vae
        super().__init__(pipe, name, denoiser, from_scheduler(pipe.scheduler), amp)
        self.factor = self.vae.config.scaling_factor
        self.shift = self.vae.config.get("shift_factor") or 0.0
        self.reduction = reduction(self.vae.config)
        self.size, self.multiple = self.scale(denoiser.config, self.vae.config)

    @staticmethod
    def scale(denoiser: Mapping[str, Any], vae: Mapping[str, Any]) -> tuple[int, int]:
        return denoiser["sample_size"] * reduction(vae), reduction(vae)

    def encode(self, x: Tensor) -> Tensor:
        latents: Tensor = (self._distribution(x).mode().float() - self.shift) * self.factor
        return latents

    def posterior(self, x: Tensor) -> Tensor:
        distribution = self._distribution(x)
        return torch.cat([distribution.mean, distribution.logvar], 1).float()

    def _distribution(self, x: Tensor) -> Any:
        with self.autocast():
            return self.vae.encode((2 * x - 1).to(weight_dtype(self.vae))).latent_dist

    def decode(self, z: Tensor) -> Tensor:
        with self.autocast():
            x = self.vae.decode((z / self.factor + self.shift).to(weight_dtype(self.vae))).sample
        pixels: Tensor = (x.float() + 1) / 2
        return pixels

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        return self.vae.config.latent_channels, height // self.reduction, width // self.reduction

    def modules(self) -> list[nn.Module]:
        encoders = [getattr(self.pipe, n, None) for n in ("text_encoder", "text_encoder_2", "text_encoder_3")]
        return [self.denoiser, self.vae, *[e for e in encoders if e is not None]]


class StableDiffusion(LatentModel):
    """SD 1.x and 2.x, eps or v."""

    def __init__(self, pipe: Any, name: str, amp: torch.dtype | None) -> None:
        super().__init__(pipe, name, pipe.unet, amp)
        second = self.schedule.prediction == "v" or pipe.unet.config.cross_attention_dim == 1024
        self.family = "sd2" if second else "sd1"

    def condition(self, prompts: Sequence[str]) -> Condition:
        text, _ = self.pipe.encode_prompt(list(prompts), self.device, 1, False)
        return Condition({"text": text})

    def predict(self, z_t: Tensor, t: Tensor, c: Condition) -> Tensor:
        with self.autocast():
            kind = weight_dtype(self.denoiser)
            text = c.expand(len(z_t)).tensors["text"].to(kind)
            prediction: Tensor = self.denoiser(z_t.to(kind), self.schedule.timestep[t], text).sample.float()
            return prediction


class StableDiffusionXL(LatentModel):
    """SDXL: two text encoders, pooled text and the size conditioning ("micro-conditioning", arXiv 2307.01952)."""

    family = "sdxl"

    def __init__(self, pipe: Any, name: str, amp: torch.dtype | None) -> None:
        super().__init__(pipe, name, pipe.unet, amp)

    def condition(self, prompts: Sequence[str]) -> Condition:
        text, _, pooled, _ = self.pipe.encode_prompt(
            list(prompts), device=self.device, num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        return Condition({"text": text, "pooled": pooled})

    def predict(self, z_t: Tensor, t: Tensor, c: Condition) -> Tensor:
        c = c.expand(len(z_t))
        side = [z_t.shape[-2] * self.reduction, z_t.shape[-1] * self.reduction]
        with self.autocast():
            kind = weight_dtype(self.denoiser)
            sizes = torch.tensor([[*side, 0, 0, *side]], device=self.device, dtype=kind).expand(len(z_t), -1)
            extra = {"text_embeds": c.tensors["pooled"].to(kind), "time_ids": sizes}
            text = c.tensors["text"].to(kind)
            answer = self.denoiser(z_t.to(kind), self.schedule.timestep[t], text, added_cond_kwargs=extra)
        prediction: Tensor = answer.sample.float()
        return prediction
