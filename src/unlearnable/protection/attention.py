"""Objectives about the attention of a picture's positions to words."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unlearnable.models.base import Model
from unlearnable.models.finetune.training import denoising_loss
from unlearnable.models.watch import attended, token_positions
from unlearnable.protection.objectives import Batch


@dataclass(frozen=True)
class LessAttention:
    """``L(x) - weight * sum A^2``: the loss, and less attention to words.

    A are the cross-attention maps, squares summed over the tokens of `word` (none: over all) and over the places where
    `summed`, else their mean; means over heads and layers. `for_prompt` looks up where the word is in a prompt.
    """

    weight: float
    word: str = ""
    summed: bool = False
    tokens: tuple[int, ...] = ()

    def for_prompt(self, model: Model, prompt: str) -> LessAttention:
        return replace(self, tokens=tuple(token_positions(model, prompt, self.word))) if self.word else self

    def __call__(self, model: Model, x: Tensor, batch: Batch) -> Tensor:
        with attended(model) as maps:
            loss = denoising_loss(model, model.encode(x), batch.noise, batch.t, batch.condition)
        return loss - self.weight * torch.stack([self._energy(a) for a in maps]).mean(0)

    def _energy(self, a: Tensor) -> Tensor:
        """Of maps ``[b heads places words]``, ``[b]``."""
        chosen = a[..., list(self.tokens)] if self.tokens else a
        squares = chosen.square().sum(-1).mean(1)
        return squares.sum(1) if self.summed else squares.mean(1)
