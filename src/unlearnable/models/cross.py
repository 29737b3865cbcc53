"""Transformers that read text by cross-attention: PixArt-Sigma (eps) and Sana (flow)."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from unlearnable.models.base import Condition
from unlearnable.models.latent import LatentModel


class PixArtSigma(LatentModel):
    """PixArt-Sigma (arXiv 2403.04692); a learned variance among its outputs is left out."""

    family = "pixart"
    longest = 300

    def condition(self, prompts: Sequence[str]) -> Condition:
        off = {"device": self.device, "do_classifier_free_guidance": False, **self.instruction()}
        text, seen, *_ = self.pipe.encode_prompt(list(prompts), **off, max_sequence_length=self.text_tokens)
        return Condition({"text": text, "seen": seen})

    def instruction(self) -> dict[str, Any]:
        """What else the pipeline has its text encoder read."""
        return {}

    def answer(self, z: Tensor, timestep: Tensor, c: Mapping[str, Tensor]) -> Tensor:
        text = {"encoder_hidden_states": c["text"], "encoder_attention_mask": c["seen"]}
        return self.asked(z, timestep, **text, added_cond_kwargs={"resolution": None, "aspect_ratio": None})

    def asked(self, z: Tensor, timestep: Tensor, **more: Any) -> Tensor:
        sample: Tensor = self.denoiser(z, timestep=timestep, **more).sample
        return sample[:, : z.shape[1]]

    def call(self, prompts: Sequence[str], guidance: float, side: int) -> dict[str, Any]:
        return super().call(prompts, guidance, side) | {"use_resolution_binning": False}


class Sana(PixArtSigma):
    """Sana (arXiv 2410.10629): a Gemma 2 reads the text behind an instruction, and latents are 1/32 as wide."""

    family = "sana"

    def instruction(self) -> dict[str, Any]:
        name = "complex_human_instruction"
        return {name: inspect.signature(type(self.pipe).__call__).parameters[name].default}

    def answer(self, z: Tensor, timestep: Tensor, c: Mapping[str, Tensor]) -> Tensor:
        text = {"encoder_hidden_states": c["text"], "encoder_attention_mask": c["seen"]}
        return self.asked(z, timestep * self.pipe.transformer.config.timestep_scale, **text)
