"""Single-stream transformers, text and picture one sequence: Z-Image and Lumina 2.

Their time runs from noise to picture, and so does the flow they predict: both are turned round here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnable.models.base import Condition
from unlearnable.models.latent import LatentModel


class ZImage(LatentModel):
    """Z-Image (arXiv 2511.22699): a Qwen3 reads the text, whose padding is dropped."""

    family = "zimage"
    packed = 2
    longest = 512

    def condition(self, prompts: Sequence[str]) -> Condition:
        texts, _ = self.pipe.encode_prompt(list(prompts), self.device, False, max_sequence_length=self.text_tokens)
        lengths = [len(text) for text in texts]  # one length, so that any prompts can be joined
        padded = [F.pad(text, (0, 0, 0, self.text_tokens - len(text))) for text in texts]
        return Condition({"text": torch.stack(padded), "words": torch.tensor(lengths, device=self.device)})

    def answer(self, z: Tensor, timestep: Tensor, c: Mapping[str, Tensor]) -> Tensor:
        texts = [text[:words] for text, words in zip(c["text"], c["words"])]
        time = (len(self.schedule) - timestep) / len(self.schedule)
        flows = self.denoiser(list(z.unsqueeze(2)), time, texts).sample
        return -torch.stack(flows).squeeze(2)

    def call(self, prompts: Sequence[str], guidance: float, side: int) -> dict[str, Any]:
        # the pipeline counts guidance from 0, where others count from 1
        return super().call(prompts, guidance, side) | {"guidance_scale": guidance - 1}


class Lumina2(LatentModel):
    """Lumina-Image 2.0 (arXiv 2503.21758): a Gemma 2 reads the text behind a system prompt."""

    family = "lumina2"
    longest = 256

    def condition(self, prompts: Sequence[str]) -> Condition:
        off = {"device": self.device, "do_classifier_free_guidance": False}
        text, seen, *_ = self.pipe.encode_prompt(list(prompts), **off, max_sequence_length=self.text_tokens)
        return Condition({"text": text, "seen": seen})

    def answer(self, z: Tensor, timestep: Tensor, c: Mapping[str, Tensor]) -> Tensor:
        text = {"encoder_hidden_states": c["text"], "encoder_attention_mask": c["seen"]}
        flow: Tensor = self.denoiser(hidden_states=z, timestep=1 - timestep / len(self.schedule), **text).sample
        return -flow
