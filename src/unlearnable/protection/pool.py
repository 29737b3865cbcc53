"""A surrogate that passes through the states of a training run, and learns at each a little from what is protected."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from unlearnable import rng
from unlearnable.errors import UsageError
from unlearnable.models.base import Model
from unlearnable.models.finetune.training import FineTune, Trainer
from unlearnable.protection.surrogates import State, View, view
from unlearnable.protection.transforms import Transform, pick


@dataclass(frozen=True)
class Pool:
    """States of a DreamBooth run on the clean pictures, every `interval` of `length` steps, the first untrained.

    Each is copied, and the copy stays for `visits` rounds; after each of them it takes `fit.steps` training steps on
    the protected pictures, seen through `transforms`. Two models are held at a time, not the whole pool, so states
    follow one another. Rounds: `visits` times `len(self)`; further ones begin again, from new randomness.
    """

    length: int = 1000
    interval: int = 200
    visits: int = 4
    fit: FineTune = field(default_factory=lambda: FineTune(2))
    transforms: tuple[Transform, ...] = ()
    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.interval < 1 or self.length < 0 or self.visits < 1:
            raise UsageError(
                f"a pool of {self.length} steps, every {self.interval}, {self.visits} visits each: give 0, 1, 1 or more"
            )

    def __len__(self) -> int:
        return self.length // self.interval + 1

    def begin(self, model: Model, prompt: str, seed: int) -> State:
        return _Pool(self, model, prompt, seed)


class _Pool:
    def __init__(self, settings: Pool, model: Model, prompt: str, seed: int) -> None:
        self.settings, self.model, self.view, self.seed, self.round = settings, model, view(model, prompt), seed, 0

    def before(self, clean: Tensor, protected: Tensor) -> list[View]:
        s, condition = self.settings, self.view.condition
        state, visit = divmod(self.round, s.visits)
        turn, place = divmod(state, len(s))
        if not visit:
            if not place:
                self.run = Trainer(self.model.copy(), s.fit, rng.name_seed(self.seed, "pool", turn))
            else:
                self.run.run(clean, condition, s.interval)
            self.copy = Trainer(self.run.model.copy(), s.fit, rng.name_seed(self.seed, "state", state))
        self.round += 1
        return [View(self.copy.model, condition)]

    def after(self, clean: Tensor, protected: Tensor) -> None:
        shown = pick(self.settings.transforms, protected, rng.plain("pool", self.seed, self.round))
        self.copy.run(shown, self.view.condition, self.settings.fit.steps)
