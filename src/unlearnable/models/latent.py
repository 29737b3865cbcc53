"""Latent models: their common base with an autoencoder, and the U-Net families SD 1, SD 2 and SDXL."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from unlearnable.errors import UsageError
from unlearnable.models.base import Condition, Model, weight_dtype
from unlearnable.models.encoders.latents import CLASSES, reduction
from unlearnable.models.schedule import from_scheduler


class LatentModel(Model):
    """Encodes and decodes through the pipeline's autoencoder as the stock pipelines do.

    An adapter says how text is encoded (`condition`) and how the denoiser is called (`answer`). `packed` is how many
    rows of latents become one row of tokens, where the denoiser does not say so itself (by its `patch_size`); `longest`
    the length of a text in tokens of the `reader`, where it is a choice.
    """

    packed: ClassVar[int] = 1
    longest: ClassVar[int] = 0
    reader: ClassVar[str] = "tokenizer"

    def __init__(self, pipe: Any, name: str, amp: torch.dtype | None) -> None:
        self.vae = pipe.vae
        kind = type(self.vae).__name__
        if kind not in CLASSES:
            raise UsageError(f"the autoencoder of {name!r} is a {kind}, which is not known: use {', '.join(CLASSES)}")
        self.convention = CLASSES[kind]
        denoiser = pipe.unet if hasattr(pipe, "unet") else pipe.transformer
        super().__init__(pipe, name, denoiser, from_scheduler(pipe.scheduler), amp)
        self.factor = self.vae.config.get("scaling_factor") or 1.0
        self.reduction = reduction(self.vae.config) * self.convention.patch
        self.size, self.multiple = self.scale(denoiser.config, self.vae.config)

    @classmethod
    def scale(cls, denoiser: Mapping[str, Any], vae: Mapping[str, Any]) -> tuple[int, int]:
        # Transformers without a size are trained at 1024 px by an autoencoder that makes 8 rows one.
        patch = cls.packed if cls.packed > 1 else denoiser.get("patch_size") or 1
        return (denoiser.get("sample_size") or 128) * reduction(vae), patch * reduction(vae)

    def encode(self, x: Tensor) -> Tensor:
        with self.autocast():
            return self.convention.latents(self.vae, x)

    def posterior(self, x: Tensor) -> Tensor:
        with self.autocast():
            return self.convention.posterior(self.vae, x)

    def decode(self, z: Tensor) -> Tensor:
        with self.autocast():
            return self.convention.pictures(self.vae, z)

    def predict(self, z_t: Tensor, t: Tensor, c: Condition) -> Tensor:
        kind = weight_dtype(self.denoiser)
        given = c.expand(len(z_t)).tensors
        given = {name: value.to(kind) if value.is_floating_point() else value for name, value in given.items()}
        with self.autocast():
            return self.answer(z_t.to(kind), self.schedule.timestep[t], given).float()

    @abc.abstractmethod
    def answer(self, z: Tensor, timestep: Tensor, c: Mapping[str, Tensor]) -> Tensor:
        """The denoiser's answer for latents and text in its own type; `timestep` is the schedule's, ``[b]``."""

    @property
    def text_tokens(self) -> int:
        """Length of a text, where it is a choice."""
        tokenizer = getattr(self.pipe, self.reader)
        return min(self.longest, int(tokenizer.model_max_length)) if tokenizer else self.longest

    def call(self, prompts: Sequence[str], guidance: float, side: int) -> dict[str, Any]:
        options = {"prompt": list(prompts), "guidance_scale": guidance, "height": side, "width": side}
        return options | ({"max_sequence_length": self.text_tokens} if self.longest else {})

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        config = self.vae.config
        channels = config.get("latent_channels") or config.z_dim
        return channels * self.convention.patch**2, height // self.reduction, width // self.reduction

    def modules(self) -> list[nn.Module]:
        encoders = [getattr(self.pipe, n, None) for n in ("text_encoder", "text_encoder_2", "text_encoder_3")]
        return [self.denoiser, self.vae, *[e for e in encoders if e is not None]]


class StableDiffusion(LatentModel):
    """SD 1.x and 2.x, eps or v."""

    def __init__(self, pipe: Any, name: str, amp: torch.dtype | None) -> None:
        super().__init__(pipe, name, amp)
        second = self.schedule.prediction == "v" or pipe.unet.config.cross_attention_dim == 1024
        self.family = "sd2" if second else "sd1"

    def condition(self, prompts: Sequence[str]) -> Condition:
        text, _ = self.pipe.encode_prompt(list(prompts), self.device, 1, False)
        return Condition({"text": text})

    def answer(self, z: Tensor, timestep: Tensor, c: Mapping[str, Tensor]) -> Tensor:
        sample: Tensor = self.denoiser(z, timestep, c["text"]).sample
        return sample


class StableDiffusionXL(LatentModel):
    """SDXL: two text encoders, pooled text and the size conditioning ("micro-conditioning", arXiv 2307.01952)."""

    family = "sdxl"

    def condition(self, prompts: Sequence[str]) -> Condition:
        text, _, pooled, _ = self.pipe.encode_prompt(
            list(prompts), device=self.device, num_images_per_prompt=1, do_classifier_free_guidance=False
        )
        return Condition({"text": text, "pooled": pooled})

    def answer(self, z: Tensor, timestep: Tensor, c: Mapping[str, Tensor]) -> Tensor:
        side = [z.shape[-2] * self.reduction, z.shape[-1] * self.reduction]
        sizes = torch.tensor([[*side, 0, 0, *side]], device=self.device, dtype=z.dtype).expand(len(z), -1)
        extra = {"text_embeds": c["pooled"], "time_ids": sizes}
        sample: Tensor = self.denoiser(z, timestep, c["text"], added_cond_kwargs=extra).sample
        return sample
