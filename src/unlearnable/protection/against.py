"""Encoders as targets: one perturbation that moves what several autoencoders see of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from unlearnable import rng
from unlearnable.errors import UnlearnableError, UsageError
from unlearnable.models.encoders.load import Encoder, load
from unlearnable.models.offline import offline
from unlearnable.protection.target import picture
from unlearnable.protection.transforms import Transform, pick

FLOOR = 1e-4  # of a squared distance in spreads: below it the logarithm is flat
SHIFT, STATISTICS = "shift", "statistics"
AIMS = (SHIFT, STATISTICS, "grey", "pattern")
JOINS = ("product", "sum", "worst")


@dataclass(frozen=True)
class Against:
    """`encoders` by their names (`models.encoders.load`), what is to happen to each, and how they are joined.

    `aim`: "shift" moves the latents away from the clean picture's, "statistics" their channels' means and variances;
    "grey" and "pattern" pull them to those of that picture (`target.picture`). All are squared distances in units of
    each channel's spread. `join`: "product" (sum of logarithms, which leaves out no encoder for another that moves
    more), "sum", or "worst" (soft minimum); docs/decisions/018-several-encoders.md compares them.
    """

    encoders: str = "flux2,sd1"
    aim: str = SHIFT
    join: str = "product"

    def __post_init__(self) -> None:
        for name, choices in (("aim", AIMS), ("join", JOINS)):
            if getattr(self, name) not in choices:
                raise UsageError(f"unknown {name} {getattr(self, name)!r}: use one of {', '.join(choices)}")

    @property
    def sign(self) -> int:
        """+1 where distances from the clean picture's latents grow, -1 where those to a target's shrink."""
        return 1 if self.aim in (SHIFT, STATISTICS) else -1

    def begin(self, clean: Tensor, transforms: tuple[Transform, ...] = ()) -> EncoderAscent:
        """The ascent for clean pictures ``[b 3 h w]``, of which each step sees one of the transforms."""
        return EncoderAscent(self, loaded(self.encoders, str(clean.device), offline()), clean, transforms)

    def score(self, shown: Tensor, clean: Tensor) -> Tensor:
        """``[b]``, larger is better protected, of pictures ``[b 3 h w]``, protected and clean."""
        return self.begin(clean).score(shown)

    def describe(self, device: str | torch.device = "cpu") -> str:
        """One sentence that says which encoders are real and which are stand-ins."""
        encoders = loaded(self.encoders, str(device), offline())
        return "against " + ", ".join(f"{e.name} ({e.source if e.real else 'a stand-in'})" for e in encoders)


@lru_cache(maxsize=4)
def loaded(names: str, device: str, local: bool) -> tuple[Encoder, ...]:
    return tuple(load(names, device=device, offline=local))


@dataclass(frozen=True)
class EncoderAscent:
    """The encoders' part of a step, for clean pictures `clean` ``[b 3 h w]``."""

    settings: Against
    encoders: tuple[Encoder, ...]
    clean: Tensor
    transforms: tuple[Transform, ...]

    def score(self, shown: Tensor) -> Tensor:
        """``[b]`` of protected pictures that no transform has touched."""
        return self._joined(shown, self.untouched)

    def gradient(self, protected: Tensor, seed: int, step: int) -> Tensor:
        """Of the score at protected pictures, both sides through the same transform."""
        x = protected.detach().requires_grad_(True)
        shown, plain = (
            pick(self.transforms, y, rng.plain("transform", seed, step, "against")) for y in (x, self.clean)
        )
        (gradient,) = torch.autograd.grad(self._joined(shown, self._references(plain)).sum(), x)
        if not torch.isfinite(gradient).all():
            raise UnlearnableError(f"the encoders' gradient is not finite at step {step}: use other encoders")
        return gradient

    @cached_property
    def untouched(self) -> list[Tensor]:
        """The latents to compare with in steps without a transform."""
        return self._compared(self.clean)

    def _references(self, plain: Tensor) -> list[Tensor]:
        pulled = self.settings.sign < 0
        return self.untouched if pulled or plain is self.clean else self._compared(plain)

    @torch.no_grad()
    def _compared(self, plain: Tensor) -> list[Tensor]:
        if self.settings.sign > 0:
            return [encoder(plain) for encoder in self.encoders]
        target = picture(self.settings.aim, *plain.shape[-2:]).to(plain)
        return [encoder(target) for encoder in self.encoders]

    def _joined(self, shown: Tensor, references: Sequence[Tensor]) -> Tensor:
        rows = []
        for encoder, reference in zip(self.encoders, references):
            squared = distance(self.settings.aim, encoder(shown), reference)
            rows.append(self.settings.sign * (squared + FLOOR).log())
        logs = torch.stack(rows)
        if self.settings.join == "sum":
            return logs.logsumexp(0)
        return logs.sum(0) if self.settings.join == "product" else -(-logs).logsumexp(0)


def distance(aim: str, z: Tensor, reference: Tensor) -> Tensor:
    """Mean squared difference ``[b]`` of latents ``[b c h w]``, or of their channels' means and variances."""
    if aim != STATISTICS:
        return (z - reference).square().flatten(1).mean(1)
    return (moments(z) - moments(reference)).square().flatten(1).mean(1)


def moments(z: Tensor) -> Tensor:
    """Mean and variance of each channel, ``[b 2 c]``."""
    return torch.stack([z.mean((-2, -1)), z.var((-2, -1))], 1)
