"""Surrogates that have already learnt the clean pictures as attackers do: a new word, or a DreamBooth LoRA.

LDU (arXiv 2510.03089) raises the loss of a model personalised to the subject, psi; FSMG (arXiv 2303.15433) of a wholly
fine-tuned one. Here psi is an ensemble of any of: ``base`` (the model as it was loaded), ``token`` (textual inversion,
arXiv 2208.01618) and ``lora`` (DreamBooth, arXiv 2208.12242, on a LoRA). Only `models` is used: the attackers proper
(`unlearnable.personalization`) stay apart, so that a protection is never tested against itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from unlearnable.errors import UsageError
from unlearnable.models.base import Condition, Model
from unlearnable.models.finetune.lora import add_lora
from unlearnable.models.finetune.token import NewToken, add_token
from unlearnable.models.finetune.training import FineTune, Trainer
from unlearnable.protection.surrogates import State, View, view

KINDS = ("base", "lora", "token")
WORD, TOKEN = "sks", "<psi>"  # the subject's word in prompts, and the new one that takes its place
RANK = 8


@dataclass(frozen=True)
class Personalised:
    """An ensemble of `kinds`, each trained for `steps` of `batch` on the clean pictures before the first round.

    Rates are those of the attackers that the field uses.
    """

    kinds: tuple[str, ...] = ("lora",)
    steps: int = 100
    batch: int = 4
    learns: ClassVar[bool] = True

    def __post_init__(self) -> None:
        wrong = [kind for kind in self.kinds if kind not in KINDS]
        if wrong or not self.kinds:
            raise UsageError(f"unknown surrogate {'+'.join(self.kinds)!r}: join some of {', '.join(KINDS)} with +")

    def begin(self, model: Model, prompt: str, seed: int) -> State:
        if "token" in self.kinds and model.family not in ("sd1", "sd2", "sdxl"):
            raise UsageError(f"a {model.family} model cannot learn a new word: use the surrogate lora, or base+lora")
        return _Personalised(self, model, prompt, seed)


def parse(text: str) -> Personalised:
    """A surrogate of its text, such as ``lora+token``."""
    return Personalised(tuple(text.split("+")))


class _Personalised:
    def __init__(self, settings: Personalised, model: Model, prompt: str, seed: int) -> None:
        self.settings, self.model, self.prompt, self.seed = settings, model, prompt, seed
        self.students: list[_Student] = []
        self.views: list[View] = []

    def before(self, clean: Tensor, protected: Tensor) -> list[View]:
        if not self.views:
            for kind in self.settings.kinds:
                if kind == "base":
                    self.views.append(view(self.model, self.prompt))
                    continue
                student = _Student(kind, self.model, self.prompt, self.settings, self.seed)
                self.students.append(student)
                self.views.append(student.learn(clean, self.settings.steps))
        return self.views

    def after(self, clean: Tensor, protected: Tensor) -> None:
        pass  # they know the clean pictures, and stay as they are


class _Student:
    def __init__(self, kind: str, model: Model, prompt: str, settings: Personalised, seed: int) -> None:
        self.prompt, self.token = prompt, None
        # shared weights are only read: what learns is a LoRA of the twin's, or a word in text encoders of its own
        self.twin = model.copy(share=True, text=kind == "token")
        fit = FineTune(settings.steps, batch=settings.batch)
        if kind == "token":
            self.prompt, self.token = with_token(self.twin, prompt)
            fit = replace(fit, lr=2e-3 if model.large else 2e-2)
            self.trainer = Trainer(self.twin, fit, seed, [{"params": self.token.rows}])
        else:
            fit = replace(fit, lr=1e-4 if model.large else 2e-3, clip=1.0)
            self.trainer = Trainer(self.twin, fit, seed, [{"params": add_lora(self.twin, RANK, seed)}])

    def learn(self, images: Tensor, steps: int) -> View:
        if self.token:
            self.trainer.run(images, self._read, steps)
        else:
            with torch.no_grad():
                c = self._read()
            self.trainer.run(images, c, steps)
        return view(self.twin, self.prompt)

    def _read(self) -> Condition:
        return self.twin.condition([self.prompt])


def with_token(model: Model, prompt: str) -> tuple[str, NewToken]:
    """The prompt with a new word in place of the subject's (or at the end), which starts as the text's mean."""
    words = prompt.split()
    text = " ".join(TOKEN if word == WORD else word for word in words) if WORD in words else f"{prompt} {TOKEN}"
    return text, add_token(model, TOKEN, " ".join(word for word in words if word != WORD))
