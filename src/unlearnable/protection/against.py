"""Encoders as targets: one perturbation that moves what several autoencoders see of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from unlearnable import rng
from unlearnable.errors import UnlearnableError
from unlearnable.models.encoders.load import Encoder, load
from unlearnable.models.offline import offline
from unlearnable.protection.transforms import Transform, pick

FLOOR = 1e-4  # of a squared shift in spreads: below it the logarithm is flat


@lru_cache(maxsize=4)
def loaded(names: str, device: str, local: bool) -> tuple[Encoder, ...]:
    return tuple(load(names, device=device, offline=local))


@dataclass(frozen=True)
class Shifts:
    """Sum over encoders of the logarithm of the squared shift: none of them is left out for another that moves more.

    The logarithms do not depend on the encoders' scales, which a sum of squared shifts does
    (docs/decisions/018-several-encoders.md).
    """

    encoders: tuple[Encoder, ...]

    @classmethod
    def of(cls, names: str, device: str | torch.device = "cpu") -> Shifts:
        """Encoders by their names; see `models.encoders.load`."""
        return cls(loaded(names, str(device), offline()))

    def __call__(self, shown: Tensor, plain: Tensor) -> Tensor:
        """``[b]`` of pictures ``[b 3 h w]``, protected and clean, both as the same transform left them."""
        return self.from_codes(shown, self.codes(plain))

    @torch.no_grad()
    def codes(self, plain: Tensor) -> list[Tensor]:
        """Each encoder's latents of clean pictures."""
        return [encoder(plain) for encoder in self.encoders]

    def from_codes(self, shown: Tensor, codes: Sequence[Tensor]) -> Tensor:
        """The same with the clean pictures' latents at hand."""
        total = torch.zeros(len(shown), device=shown.device)
        for encoder, clean in zip(self.encoders, codes):
            total = total + ((encoder(shown) - clean).square().flatten(1).mean(1) + FLOOR).log()
        return total

    def describe(self) -> str:
        """Which are real and which stand-ins."""
        return ", ".join(f"{e.name} ({e.source if e.real else 'a stand-in'})" for e in self.encoders)


@dataclass(frozen=True)
class Others:
    """The encoders' part of a step: clean pictures `clean` ``[b 3 h w]``, and transforms that a step may see."""

    shifts: Shifts
    clean: Tensor
    transforms: tuple[Transform, ...]

    @cached_property
    def untouched(self) -> list[Tensor]:
        """The clean pictures' latents, for the steps that see no transform."""
        return self.shifts.codes(self.clean)

    def gradient(self, seen: Tensor, seed: int, step: int) -> Tensor:
        """Of the shifts at protected pictures, both sides through the same transform."""
        x = seen.detach().requires_grad_(True)
        shown, plain = (
            pick(self.transforms, y, rng.plain("transform", seed, step, "against")) for y in (x, self.clean)
        )
        codes = self.untouched if plain is self.clean else self.shifts.codes(plain)
        (gradient,) = torch.autograd.grad(self.shifts.from_codes(shown, codes).sum(), x)
        if not torch.isfinite(gradient).all():
            raise UnlearnableError(f"the encoders' gradient is not finite at step {step}: use other encoders")
        return gradient


def joined(gradients: Sequence[Tensor]) -> Tensor:
    """Gradients ``[b 3 h w]`` of objectives in different units, each at unit length for each picture, summed."""
    if len(gradients) == 1:
        return gradients[0]
    return torch.stack([g / g.flatten(1).norm(dim=1).clamp_min(1e-20).view(-1, 1, 1, 1) for g in gradients]).sum(0)
