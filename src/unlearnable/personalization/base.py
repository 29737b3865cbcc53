"""The base of all attackers: check, copy, train with the one loop, resume, and return a concept."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from unlearnable.errors import SetupError, UsageError
from unlearnable.images.square import augmented, square
from unlearnable.models.base import Model
from unlearnable.models.finetune.checkpoint import Checkpoint, Progress, named
from unlearnable.models.finetune.texts import Captions
from unlearnable.models.finetune.times import UNIFORM
from unlearnable.models.finetune.times import check as check_law
from unlearnable.models.finetune.token import NewToken, add_token
from unlearnable.models.finetune.training import FineTune, Prior, Text, Trainer
from unlearnable.personalization.concept import Concept, generate
from unlearnable.personalization.prompts import behind, holding, without
from unlearnable.rng import image_keys

VIEWS = 16  # of each picture, with `augment`
UNETS = ("sd1", "sd2", "sdxl")


@dataclass
class Student:
    """A copy of the model with the parameters to train, in groups as torch's optimisers take them.

    `reading`: the text encoder or a token is in training, so that the prompt is encoded again at every step.
    """

    model: Model
    groups: list[dict[str, Any]]
    token: NewToken | None = None
    reading: bool = False


@dataclass(frozen=True, kw_only=True)
class Personalizer(abc.ABC):
    """An attacker as settings: `steps` of AdamW at `lr`, `batch` pictures a step.

    `token` is the word for the subject in the prompt; `initial` is the text whose embedding a new token starts from
    (default: the class, which follows the token in the prompt). `augment` trains on crops and mirrored views as well.
    `prior_weight` counts where there are class pictures (prior preservation): those given, or else as many as
    `class_pictures`, which the model draws before it is trained; `class_prompt` is their text (default: the prompt
    without the token). `clip` is the largest norm of the gradient, 0 for any. `cool` lets the rate fall to zero, in a
    straight line. `times` is the law of t, one of uniform, logit-normal (sigmoid) and shift; `scales` are the shares of
    the model's size at which batches are shown.
    """

    name: str
    steps: int
    lr: float
    batch: int = 4
    weight_decay: float = 1e-2
    clip: float = 0.0
    ema: float = 0.0
    cool: bool = False
    times: str = UNIFORM
    scales: tuple[float, ...] = (1.0,)
    token: str = "sks"
    initial: str | None = None
    augment: bool = False
    prior_weight: float = 1.0
    class_pictures: int = 0
    class_prompt: str | None = None
    families: ClassVar[tuple[str, ...]] = UNETS

    def __post_init__(self) -> None:
        check_law(self.times)
        if not self.scales or not all(0 < scale <= 1 for scale in self.scales):
            raise UsageError(f"scales {list(self.scales)} are no shares: give one or more above 0 and up to 1")

    @abc.abstractmethod
    def begin(self, model: Model, prompt: str, seed: int) -> Student:
        """A copy of `model` with the parameters to train."""

    def start(self, model: Model, seed: int) -> Model:
        """The model before the first step; callers must not change it."""
        return model

    @abc.abstractmethod
    def write(self, concept: Concept, folder: Path) -> None:
        """Write the learned weights in the format that diffusers loads."""

    def fit(
        self,
        model: Model,
        images: Tensor,
        prompt: str,
        *,
        seed: int = 0,
        class_images: Tensor | None = None,
        keys: Sequence[str] | None = None,
        captions: Sequence[str | None] | None = None,
        checkpoint: str | Path | None = None,
        progress: Progress | None = None,
    ) -> Concept:
        """Learn pictures ``[n 3 h w]`` in [0, 1] under `prompt`, on a copy: the caller's model does not change.

        Pictures are scaled and centre-cropped to the model's size. `class_images` ``[m 3 h w]`` switch prior
        preservation on. `keys` name the pictures' randomness (default: their content): under the same names, attackers
        of a picture and of its protected twin see the same crops and noise. `captions` are the pictures' own texts; one
        that is None has the prompt. With `checkpoint`, the state is written there at least every half minute (large
        models: less often) and when interrupted; the same call resumes from it and ends with the same bits. Another
        run's file is refused. `progress` is called with (steps done, steps in all, loss).
        Raises UsageError for a model, a prompt or a checkpoint that does not fit, UnlearnableError when the training
        diverges.
        """
        self.check(model, prompt)
        x = sized(model, images)
        prior_images = None if class_images is None else sized(model, class_images)
        texts = [caption or prompt for caption in captions or [None] * len(x)]
        if len(texts) != len(x):
            raise UsageError(f"{len(texts)} captions for {len(x)} pictures: give one for each, or None")
        run = identity(self, model, x, prompt, seed, prior_images, keys, texts)
        student = self.begin(model, prompt, seed)
        for text in texts if student.token else ():
            holding(text, self.token)
        training = FineTune(
            self.steps, self.lr, self.batch,
            weight_decay=self.weight_decay, clip=self.clip, ema=self.ema, cool=self.cool, times=self.times,
            scales=self.scales,
        )  # fmt: skip
        trainer = Trainer(student.model, training, seed, student.groups)
        store = Checkpoint(Path(checkpoint), run) if checkpoint else None
        if not (store and store.load(trainer)):
            if prior_images is None and self.class_pictures:
                prior_images = sized(model, generate(model, [self.kind(prompt)] * self.class_pictures, seed=seed))
            self._train(trainer, student, x, keys, prompt, texts, prior_images, store, progress)
        if student.token:
            student.token.settle()
        return Concept(student.model, prompt, trainer.losses, self, student.token)

    def _train(
        self,
        trainer: Trainer,
        student: Student,
        x: Tensor,
        keys: Sequence[str] | None,
        prompt: str,
        texts: list[str],
        prior_images: Tensor | None,
        store: Checkpoint | None,
        progress: Progress | None,
    ) -> None:
        prior = None
        if prior_images is not None:
            text = read(student, self.kind(prompt))
            prior = Prior(prior_images, text, self.prior_weight)

        def after(trainer: Trainer) -> None:
            if store:
                store(trainer)
            if progress:
                progress(trainer.done, self.steps, trainer.losses[-1])

        if self.augment:
            x = augmented(x, VIEWS, trainer.seed, keys)
            keys = keys and [f"{key}:{i}" for key in keys for i in range(VIEWS)]
            texts = [text for text in texts for _ in range(VIEWS)]
        try:
            text = read(student, prompt) if set(texts) == {prompt} else Captions(student.model, texts, student.reading)
            trainer.run(x, text, self.steps - trainer.done, prior=prior, after=after, keys=keys)
        except torch.OutOfMemoryError as error:
            remedy = "use a smaller batch, a smaller model, or lora"
            raise SetupError(f"{self.name} with batches of {self.batch} does not fit into memory: {remedy}") from error
        except KeyboardInterrupt:
            if store and trainer.between_steps:
                store.save(trainer)
            raise
        trainer.settle()
        if store:
            store.save(trainer, finished=True)

    def check(self, model: Model, prompt: str) -> None:
        """Raise UsageError if this attacker cannot learn on this model, or under this prompt."""
        if model.family not in self.families:
            other = "scratch" if model.family == "ddpm" else "lora"
            raise UsageError(f"{self.name} cannot train {model.name!r}, a {model.family} model: use {other}")
        if model.family != "ddpm" and self.token:
            holding(prompt, self.token)

    def kind(self, prompt: str) -> str:
        """The text of class pictures."""
        return self.class_prompt or without(prompt, self.token)

    def new_token(self, model: Model, prompt: str) -> NewToken:
        """Add the token as a new word to a copy that has its own text encoders."""
        like = behind(prompt, self.token) if self.initial is None else self.initial
        return add_token(model, self.token, like)


def sized(model: Model, images: Tensor) -> Tensor:
    return square(images.to(model.device, torch.float32), model.size)


def read(student: Student, prompt: str) -> Text:
    """The encoded prompt, or a function that encodes it at every step while the text encoder is in training."""
    if student.reading:
        return lambda: student.model.condition([prompt])
    with torch.no_grad():
        return student.model.condition([prompt])


def identity(
    settings: Personalizer, model: Model, x: Tensor, prompt: str, seed: int, prior_images: Tensor | None,
    keys: Sequence[str] | None, texts: list[str],
) -> str:  # fmt: skip
    """A hex digest of all that decides the result."""
    facts = [asdict(settings), prompt, seed, model.fingerprint()]
    facts += [image_keys(x), None if prior_images is None else image_keys(prior_images), keys and list(keys), texts]
    return named(*facts)
