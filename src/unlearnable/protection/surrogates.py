"""The defender's copies of the attacker: which models a protection's ascent looks at, round by round.

A surrogate is settings; `begin` makes its state for one group of pictures, and the engine calls that state as
``before(clean, protected) -> views`` ahead of a round's ascent and ``after(clean, protected)`` behind it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from unlearnable.models.base import Condition, Model
from unlearnable.models.training import FineTune, Trainer
from unlearnable.rng import name_seed

Data = Literal["clean", "protected"]


class View(NamedTuple):
    """A model, and the text under which its attacker has learnt or will learn the pictures."""

    model: Model
    condition: Condition


class State(Protocol):
    def before(self, clean: Tensor, protected: Tensor) -> list[View]: ...
    def after(self, clean: Tensor, protected: Tensor) -> None: ...


class Surrogate(Protocol):
    @property
    def learns(self) -> bool:
        """Whether it trains on the pictures, so that those of one call depend on one another."""
        ...

    def begin(self, model: Model, prompt: str, seed: int) -> State: ...


@dataclass(frozen=True)
class Frozen:
    """The model as it was loaded."""

    learns: ClassVar[bool] = False

    def begin(self, model: Model, prompt: str, seed: int) -> State:
        return _Frozen(view(model, prompt))


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
    learns: ClassVar[bool] = True

    def begin(self, model: Model, prompt: str, seed: int) -> State:
        return _Training(self, view(model.copy(scratch=self.scratch, seed=seed), prompt), seed)


@dataclass(frozen=True)
class BySize:
    """`small` for models such as the embedded one, `large` for those of Stable Diffusion's size (`Model.large`)."""

    small: Surrogate
    large: Surrogate

    @property
    def learns(self) -> bool:
        return self.small.learns or self.large.learns

    def begin(self, model: Model, prompt: str, seed: int) -> State:
        return (self.large if model.large else self.small).begin(model, prompt, seed)


ALTERNATING = Training(before="clean", aside=True, after="protected", fit=FineTune(3))  # Anti-DreamBooth's ASPL


@torch.no_grad()
def view(model: Model, prompt: str) -> View:
    return View(model, model.condition([prompt]))


@dataclass
class _Frozen:
    view: View

    def before(self, clean: Tensor, protected: Tensor) -> list[View]:
        return [self.view]

    def after(self, clean: Tensor, protected: Tensor) -> None:
        pass


class _Training:
    def __init__(self, settings: Training, view: View, seed: int) -> None:
        self.settings, self.c, self.seed, self.round = settings, view.condition, seed, 0
        self.trainer = Trainer(view.model, settings.fit, seed)

    def before(self, clean: Tensor, protected: Tensor) -> list[View]:
        data, self.round = self.settings.before, self.round + 1
        if data is None:
            return [View(self.trainer.model, self.c)]
        images = clean if data == "clean" else protected
        trainer = self.trainer
        if self.settings.aside:
            trainer = Trainer(self.trainer.model.copy(), self.settings.fit, name_seed(self.seed, "aside", self.round))
        return [View(trainer.run(images, self.c), self.c)]

    def after(self, clean: Tensor, protected: Tensor) -> None:
        if self.settings.after is not None:
            self.trainer.run(clean if self.settings.after == "clean" else protected, self.c)
