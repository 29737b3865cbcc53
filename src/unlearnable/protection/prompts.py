"""Surrogates whose text code is tuned to the pictures, or drawn around a tuned one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from unlearnable import rng
from unlearnable.errors import UsageError
from unlearnable.models.base import Condition, Model
from unlearnable.models.finetune.training import denoising_loss
from unlearnable.protection.surrogates import State, View, view

TEXT = "text"  # the tensor of a condition that is tuned: a code for each token


@dataclass(frozen=True)
class TunedText:
    """The model as it was loaded, under a text code that takes `tune` steps down the loss on the pictures.

    Adam at `rate`, before every round on the protected pictures; with `drawn` before the first alone, on the clean
    ones, and each round's code is drawn from a normal distribution around the tuned one. That is the Laplace
    approximation of the codes that explain the pictures (PAP, arXiv 2408.10571), its Hessian taken for one number and
    measured by the way from the prompt's own code, which so lies one standard deviation off.
    """

    tune: int = 10
    rate: float = 1e-3
    drawn: bool = False
    learns: ClassVar[bool] = True

    def begin(self, model: Model, prompt: str, seed: int) -> State:
        readable(model)
        return _TunedText(self, view(model, prompt), seed)


def readable(model: Model) -> None:
    """Raise UsageError for a model that reads no text."""
    if model.family == "ddpm":
        raise UsageError("a ddpm model reads no text, which is tuned here: use one that does")


class _TunedText:
    def __init__(self, settings: TunedText, initial: View, seed: int) -> None:
        self.settings, self.initial, self.seed, self.round = settings, initial, seed, 0
        self.code = initial.condition.tensors[TEXT].float().clone()

    def before(self, clean: Tensor, protected: Tensor) -> list[View]:
        drawn = self.settings.drawn
        if not drawn or not self.round:
            self._tune(clean if drawn else protected)
        self.round += 1
        code = self.code
        if drawn:
            offset = code - self.initial.condition.tensors[TEXT].float()
            noise = rng.normal(["code"], code.shape[1:], "prompt", self.seed, self.round, device=code.device)
            code = code + offset.square().mean().sqrt() * noise
        return [View(self.initial.model, self._with(code))]

    def after(self, clean: Tensor, protected: Tensor) -> None:
        """The code is tuned before a round."""

    def _tune(self, images: Tensor) -> None:
        model, code = self.initial.model, self.code.requires_grad_(True)
        with torch.no_grad():
            z = model.encode(images)
        keys, optimiser = rng.image_keys(images), torch.optim.Adam([code], lr=self.settings.rate)
        for step in range(self.settings.tune):
            name = (self.seed, "tune", self.round, step)
            t = (rng.uniform(keys, (), *name) * len(model.schedule)).long().to(z.device)
            noise = rng.normal(keys, z.shape[1:], *name, device=z.device)
            (code.grad,) = torch.autograd.grad(denoising_loss(model, z, noise, t, self._with(code)).mean(), code)
            optimiser.step()
        self.code = code.detach()

    def _with(self, code: Tensor) -> Condition:
        return Condition(self.initial.condition.tensors | {TEXT: code})
