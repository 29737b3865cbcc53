"""Rectified-flow transformers that attend to text and picture jointly: SD3, FLUX, Chroma and Qwen-Image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnable.models.base import Condition
from unlearnable.models.latent import LatentModel


class StableDiffusion3(LatentModel):
    """SD3 / SD3.5 (arXiv 2403.03206)."""

    family = "sd3"
    longest = 256
    reader = "tokenizer_3"

    def condition(self, prompts: Sequence[str]) -> Condition:
        off = {"device": self.device, "do_classifier_free_guidance": False}
        most = self.text_tokens
        text, _, pooled, _ = self.pipe.encode_prompt(list(prompts), None, None, **off, max_sequence_length=most)
        return Condition({"text": text, "pooled": pooled})

    def answer(self, z: Tensor, timestep: Tensor, c: Mapping[str, Tensor]) -> Tensor:
        text = {"encoder_hidden_states": c["text"], "pooled_projections": c["pooled"]}
        # the time stays float32: bf16 cannot tell 997 from 1000
        sample: Tensor = self.denoiser(hidden_states=z, timestep=timestep, **text).sample
        return sample


class Flux(LatentModel):
    """FLUX.1: latents are maps outside the transformer, which gets them packed into 2 x 2 patches."""

    family = "flux"
    packed = 2
    longest = 512
    reader = "tokenizer_2"
    guidance = 1.0  # guidance-distilled checkpoints are fine-tuned at 1

    def condition(self, prompts: Sequence[str]) -> Condition:
        most = self.text_tokens
        text, pooled, _ = self.pipe.encode_prompt(list(prompts), device=self.device, max_sequence_length=most)
        return Condition({"text": text, "pooled": pooled})

    def answer(self, z: Tensor, timestep: Tensor, c: Mapping[str, Tensor]) -> Tensor:
        rows, cols = z.shape[-2] // 2, z.shape[-1] // 2
        guided = self.pipe.transformer.config.guidance_embeds
        tokens = self.denoiser(
            hidden_states=pack(z),
            timestep=(timestep / len(self.schedule)).to(z.dtype),
            guidance=torch.full([len(z)], self.guidance, device=self.device, dtype=z.dtype) if guided else None,
            pooled_projections=c["pooled"],
            encoder_hidden_states=c["text"],
            txt_ids=torch.zeros(c["text"].shape[1], 3, device=self.device, dtype=z.dtype),
            img_ids=positions(rows, cols, self.device).to(z.dtype),
        ).sample
        return unpack(tokens, rows, cols)


class Chroma(LatentModel):
    """Chroma1: FLUX.1 without guidance and pooled text; of the T5 text's padding only the first token is seen."""

    family = "chroma"
    packed = 2
    longest = 512

    def condition(self, prompts: Sequence[str]) -> Condition:
        off = {"device": self.device, "do_classifier_free_guidance": False}
        text, _, seen, *_ = self.pipe.encode_prompt(list(prompts), **off, max_sequence_length=self.text_tokens)
        return Condition({"text": text, "seen": seen})

    def answer(self, z: Tensor, timestep: Tensor, c: Mapping[str, Tensor]) -> Tensor:
        rows, cols = z.shape[-2] // 2, z.shape[-1] // 2
        tokens = self.denoiser(
            hidden_states=pack(z),
            timestep=timestep / len(self.schedule),
            encoder_hidden_states=c["text"],
            txt_ids=torch.zeros(c["text"].shape[1], 3, device=self.device, dtype=z.dtype),
            img_ids=positions(rows, cols, self.device).to(z.dtype),
            attention_mask=F.pad(c["seen"], (0, rows * cols), value=1.0),
        ).sample
        return unpack(tokens, rows, cols)


class Flux2Klein(LatentModel):
    """FLUX.2 klein: the autoencoder packs the patches, and a Qwen3 reads the text, whose padding is seen."""

    family = "flux2"
    packed = 2
    longest = 512

    def condition(self, prompts: Sequence[str]) -> Condition:
        text, _ = self.pipe.encode_prompt(list(prompts), self.device, max_sequence_length=self.text_tokens)
        return Condition({"text": text})

    def answer(self, z: Tensor, timestep: Tensor, c: Mapping[str, Tensor]) -> Tensor:
        words = torch.zeros(c["text"].shape[1], 4, device=self.device)
        words[:, 3] = torch.arange(len(words), device=self.device)
        tokens: Tensor = self.denoiser(
            hidden_states=z.flatten(2).transpose(1, 2),
            timestep=timestep / len(self.schedule),
            encoder_hidden_states=c["text"],
            txt_ids=words,
            img_ids=F.pad(positions(z.shape[-2], z.shape[-1], self.device), (0, 1)),
        ).sample
        return tokens.transpose(1, 2).reshape(z.shape)


class QwenImage(LatentModel):
    """Qwen-Image (arXiv 2508.02324): a Qwen2.5-VL reads the text; `seen` marks what is no padding."""

    family = "qwen"
    packed = 2
    longest = 512

    def condition(self, prompts: Sequence[str]) -> Condition:
        text, seen = self.pipe.encode_prompt(list(prompts), self.device, max_sequence_length=self.text_tokens)
        seen = torch.ones(text.shape[:2], device=self.device) if seen is None else seen
        left = self.text_tokens - text.shape[1]  # one length, so that any prompts can be joined
        return Condition({"text": F.pad(text, (0, 0, 0, left)), "seen": F.pad(seen.long(), (0, left))})

    def answer(self, z: Tensor, timestep: Tensor, c: Mapping[str, Tensor]) -> Tensor:
        rows, cols = z.shape[-2] // 2, z.shape[-1] // 2
        words = int(c["seen"].sum(1).max())
        tokens = self.denoiser(
            hidden_states=pack(z),
            timestep=timestep / len(self.schedule),
            encoder_hidden_states=c["text"][:, :words],
            encoder_hidden_states_mask=c["seen"][:, :words],
            img_shapes=[[(1, rows, cols)]] * len(z),
        ).sample
        return unpack(tokens, rows, cols)

    def call(self, prompts: Sequence[str], guidance: float, side: int) -> dict[str, Any]:
        options = super().call(prompts, guidance, side)
        strength = options.pop("guidance_scale")  # the pipeline's own argument of that name is for distilled models
        return options | {"true_cfg_scale": strength, "negative_prompt": [" "] * len(prompts)}


def pack(z: Tensor) -> Tensor:
    """``[b c 2h 2w]`` to tokens ``[b hw 4c]``."""
    b, c, h, w = z.shape
    return z.view(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(b, h * w // 4, 4 * c)


def unpack(tokens: Tensor, rows: int, cols: int) -> Tensor:
    """The inverse of `pack`."""
    b, _, width = tokens.shape
    grid = tokens.view(b, rows, cols, width // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
    return grid.reshape(b, width // 4, 2 * rows, 2 * cols)


def positions(rows: int, cols: int, device: torch.device) -> Tensor:
    """Row and column of every token, ``[rows*cols 3]``; the first entry is unused by FLUX."""
    grid = torch.zeros(rows, cols, 3, device=device)
    grid[..., 1] = torch.arange(rows, device=device)[:, None]
    grid[..., 2] = torch.arange(cols, device=device)[None]
    return grid.view(-1, 3)
