"""Targets of targeted protections that the model itself makes, or that a name of `target` stands for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from unlearnable import rng
from unlearnable.models.base import Model
from unlearnable.models.invert import denoise, descent, rise
from unlearnable.protection.target import picture


def top(model: Model, strength: float) -> int:
    """The time from which an edit of a strength (a share of the schedule) starts."""
    return max(0, round(strength * len(model.schedule)) - 1)


@dataclass(frozen=True)
class Redrawn:
    """Latents of the picture as the model redraws it under `prompt` from a share `strength` of the noise on.

    At 1 next to nothing of the picture is left: that is another concept's picture. `steps` deterministic moves (SDEdit,
    Meng et al., arXiv 2108.01073). A picture that was given takes its place.
    """

    prompt: str
    strength: float = 0.5
    steps: int = 20

    def __call__(self, model: Model, x: Tensor, replacement: Tensor | None = None) -> Tensor:
        if replacement is not None:
            return model.encode(replacement.to(x)).expand(len(x), -1, -1, -1)
        z, c, start = model.encode(x), model.condition([self.prompt]), top(model, self.strength)
        t = torch.full([len(z)], start, device=z.device)
        noise = rng.normal(["target"], z.shape[1:], self.prompt, device=z.device).expand_as(z)
        times = descent(model.schedule, min(self.steps, start + 1), start)
        redrawn = model.decode(denoise(model, model.noised(z, noise, t), c, times))
        return model.encode(redrawn.clamp(0, 1))


@dataclass(frozen=True)
class Picture:
    """A picture of `target` by its name, ``[b 3 h w]``, not encoded."""

    name: str

    def __call__(self, model: Model, x: Tensor, replacement: Tensor | None = None) -> Tensor:
        return (picture(self.name, *x.shape[-2:]) if replacement is None else replacement).to(x).expand_as(x)


@dataclass(frozen=True)
class Inverted:
    """The clean pictures' latents brought up to the noisiest time in `steps` moves, under the run's prompt."""

    steps: int
    prompt: str = ""
    own: ClassVar[bool] = True

    def for_prompt(self, model: Model, prompt: str) -> Inverted:
        return replace(self, prompt=prompt)

    def __call__(self, model: Model, x: Tensor, replacement: Tensor | None = None) -> Tensor:
        z = model.encode(x if replacement is None else replacement.to(x))
        return denoise(model, z, model.condition([self.prompt]), descent(model.schedule, self.steps)[::-1], rise)
