"""The defender's copies of the attacker: which models a protection's ascent looks at, round by round.

A surrogate is settings; `begin` makes its state for one group of pictures, and the engine calls that state as
``before(clean, protected) -> views`` before a round's ascent and ``after(clean, protected)`` after it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from unlearnable.errors import UsageError
from unlearnable.images.tensors import pictures, squares
from unlearnable.models.base import Condition, Model, clip_pairs, text_parameters
from unlearnable.models.finetune.training import FineTune, Trainer, denoiser_parameters
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
        return Still([view(model, prompt)])


@dataclass(frozen=True)
class Training:
    """A copy in training.

    `before`: what it is trained on before each ascent; with `aside` that training happens on a throw-away copy.
    `after`: what it is trained on after each ascent. `scratch`: it starts from random weights (UDP on DDPMs).
    FSMG: before clean. ASPL: before clean, aside, after protected. UDP: before protected.

    `clean` is a folder of other pictures of the subject that the surrogate takes for the clean ones (Anti-DreamBooth's
    set A); without it those are the pictures that are being protected. With `text` it trains the CLIP text encoders
    too, at the denoiser's rate, as Anti-DreamBooth's scripts can.
    """

    before: Data | None = None
    after: Data | None = None
    aside: bool = False
    scratch: bool = False
    fit: FineTune = field(default_factory=lambda: FineTune(3))
    clean: str = ""
    text: bool = False
    learns: ClassVar[bool] = True

    def begin(self, model: Model, prompt: str, seed: int) -> State:
        if self.text and not clip_pairs(model.pipe):
            raise UsageError(f"a {model.family} model has no CLIP text encoder to train: leave the option text out")
        clean = None
        if self.clean:
            subject, _ = pictures([Path(self.clean)], recursive=False)
            clean = squares(subject, model.size).to(model.device)
        return _Training(self, model.copy(scratch=self.scratch, seed=seed, text=self.text), prompt, seed, clean)


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
class Still:
    """The state of a surrogate that learns nothing; without views, of one that is not used."""

    views: list[View] = field(default_factory=list)

    def before(self, clean: Tensor, protected: Tensor) -> list[View]:
        return self.views

    def after(self, clean: Tensor, protected: Tensor) -> None:
        """Nothing is learnt."""


class _Training:
    def __init__(self, settings: Training, model: Model, prompt: str, seed: int, clean: Tensor | None = None) -> None:
        self.settings, self.prompt, self.seed, self.clean, self.round = settings, prompt, seed, clean, 0
        self.trainer = self._trainer(model, seed)
        self.fixed = None if settings.text else view(model, prompt)

    def before(self, clean: Tensor, protected: Tensor) -> list[View]:
        data, self.round = self.settings.before, self.round + 1
        trainer = self.trainer
        if self.settings.aside and data is not None:
            twin = self.trainer.model.copy(text=self.settings.text)
            trainer = self._trainer(twin, name_seed(self.seed, "aside", self.round))
        self._train(trainer, data, clean, protected)
        return [View(trainer.model, self._read(trainer))]

    def after(self, clean: Tensor, protected: Tensor) -> None:
        self._train(self.trainer, self.settings.after, clean, protected)

    def _trainer(self, model: Model, seed: int) -> Trainer:
        fit = self.settings.fit
        if not self.settings.text:
            return Trainer(model, fit, seed)
        both = [denoiser_parameters(model, fit.rank, seed), text_parameters(model)]
        return Trainer(model, fit, seed, [{"params": parameters} for parameters in both])

    def _train(self, trainer: Trainer, data: Data | None, clean: Tensor, protected: Tensor) -> None:
        if data is None:
            return
        images = protected if data == "protected" else clean if self.clean is None else self.clean
        trainer.run(images, self.fixed.condition if self.fixed else partial(trainer.model.condition, [self.prompt]))

    @torch.no_grad()
    def _read(self, trainer: Trainer) -> Condition:
        return self.fixed.condition if self.fixed else trainer.model.condition([self.prompt])
