"""The defender's copy of the attacker: which model a protection's ascent looks at, round by round.

A surrogate is settings; `begin` makes its state for one group of pictures, and the engine calls that state as
``before(clean, protected) -> model`` ahead of a round's ascent and ``after(clean, protected)`` behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor

from unlearnable.models.base import Condition, Model
from unlearnable.models.training import FineTune, Trainer

Data = Literal["clean", "protected"]


class State(Protocol):
    def before(self, clean: Tensor, protected: Tensor) -> Model: ...
    def after(self, clean: Tensor, protected: Tensor) -> None: ...


class Surrogate(Protocol):
    def begin(self, model: Model, c: Condition, seed: int) -> State: ...


@dataclass(frozen=True)
class Frozen:
    """The model as it was loaded."""

    def begin(self, model: Model, c: Condition, seed: int) -> State:
        return _Frozen(model)


@dataclass(frozen=True)
class Training:
    """A copy in training.

    `before`: what it is trained on ahead of each ascent; with `aside` that training happens on a throw-away copy.
    `after`: what it is trained on behind each ascent. `scratch`: it starts from random weights (UDP on DDPMs).
    FSMG: before clean. ASPL: before clean, aside, after protected. UDP: before protected.
    """

    before: Data | None = None
    after: Data | None = None
    aside: bool = False
    scratch: bool = False
    fit: FineTune = field(default_factory=lambda: FineTune(3))

    def begin(self, model: Model, c: Condition, seed: int) -> State:
        return _Training(self, model.copy(scratch=self.scratch, seed=seed), c, seed)


@dataclass
class _Frozen:
    model: Model

    def before(self, clean: Tensor, protected: Tensor) -> Model:
        return self.model

    def after(self, clean: Tensor, protected: Tensor) -> None:
        pass


class _Training:
    def __init__(self, settings: Training, model: Model, c: Condition, seed: int) -> None:
        self.settings, self.c, self.seed, self.round = settings, c, seed, 0
        self.trainer = Trainer(model, settings.fit, seed)

    def before(self, clean: Tensor, protected: Tensor) -> Model:
        data, self.round = self.settings.before, self.round + 1
        if data is None:
            return self.trainer.model
        images = clean if data == "clean" else protected
        if not self.settings.aside:
            return self.trainer.run(images, self.c)
        aside = Trainer(self.trainer.model.copy(), self.settings.fit, self.seed + self.round)
        return aside.run(images, self.c)

    def after(self, clean: Tensor, protected: Tensor) -> None:
        if self.settings.after is not None:
            self.trainer.run(clean if self.settings.after == "clean" else protected, self.c)
