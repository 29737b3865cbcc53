"""Rectified-flow transformers: SD3 and FLUX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from unlearnable.models.base import Condition, weight_dtype
from unlearnable.models.latent import LatentModel, reduction


class StableDiffusion3(LatentModel):
    """SD3 / SD3.5 (arXiv 2403.03206)."""

    family = "sd3"

    def __init__(self, pipe: Any, name: str, amp: torch.dtype | None) -> None:
        super().__init__(pipe, name, pipe.transformer, amp)

    @staticmethod
    def scale(denoiser: Mapping[str, Any], vae: Mapping[str, Any]) -> tuple[int, int]:
        return denoiser["sample_size"] * reduction(vae), denoiser["patch_size"] * reduction(vae)

    @property
    def text_tokens(self) -> int:
        """Length of the T5 text."""
        return min(256, self.pipe.tokenizer_3.model_max_length) if self.pipe.tokenizer_3 else 256

    def condition(self, prompts: Sequence[str]) -> Condition:
        off = {"device": self.device, "do_classifier_free_guidance": False}
        most = self.text_tokens
        text, _, pooled, _ = self.pipe.encode_prompt(list(prompts), None, None, **off, max_sequence_length=most)
        return Condition({"text": text, "pooled": pooled})

    def predict(self, z_t: Tensor, t: Tensor, c: Condition) -> Tensor:
        c = c.expand(len(z_t))
        with self.autocast():
            kind = weight_dtype(self.denoiser)
            answer = self.denoiser(
                hidden_states=z_t.to(kind),
                timestep=self.schedule.timestep[t],  # stays float32: bf16 cannot tell 997 from 1000
                encoder_hidden_states=c.tensors["text"].to(kind),
                pooled_projections=c.tensors["pooled"].to(kind),
            )
        prediction: Tensor = answer.sample.float()
        return prediction


class Flux(LatentModel):
    """FLUX.1: latents are maps outside the transformer, which gets them packed into 2 x 2 patches."""

    family = "flux"
    guidance = 1.0  # guidance-distilled checkpoints are fine-tuned at 1

    def __init__(self, pipe: Any, name: str, amp: torch.dtype | None) -> None:
        super().__init__(pipe, name, pipe.transformer, amp)

    @staticmethod
    def scale(denoiser: Mapping[str, Any], vae: Mapping[str, Any]) -> tuple[int, int]:
        return 128 * reduction(vae), 2 * reduction(vae)  # 1024 px; the transformer itself has no size

    @property
    def text_tokens(self) -> int:
        """Length of the T5 text."""
        return min(512, int(self.pipe.tokenizer_2.model_max_length))

    def condition(self, prompts: Sequence[str]) -> Condition:
        most = self.text_tokens
        text, pooled, _ = self.pipe.encode_prompt(list(prompts), device=self.device, max_sequence_length=most)
        return Condition({"text": text, "pooled": pooled})

    def predict(self, z_t: Tensor, t: Tensor, c: Condition) -> Tensor:
        c = c.expand(len(z_t))
        rows, cols = z_t.shape[-2] // 2, z_t.shape[-1] // 2
        with self.autocast():
            kind = weight_dtype(self.denoiser)
            guided = self.pipe.transformer.config.guidance_embeds
            answer = self.denoiser(
                hidden_states=pack(z_t).to(kind),
                timestep=(self.schedule.timestep[t] / len(self.schedule)).to(kind),
                guidance=torch.full([len(z_t)], self.guidance, device=self.device, dtype=kind) if guided else None,
                pooled_projections=c.tensors["pooled"].to(kind),
                encoder_hidden_states=c.tensors["text"].to(kind),
                txt_ids=torch.zeros(c.tensors["text"].shape[1], 3, device=self.device, dtype=kind),
                img_ids=positions(rows, cols, self.device).to(kind),
            )
        return unpack(answer.sample, rows, cols).float()


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
