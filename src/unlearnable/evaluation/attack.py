"""One attack as a cell: train on pictures, test on held-out photographs, and draw what was learned."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlearnable.errors import SetupError, UnlearnableError
from unlearnable.evaluation.store import Cell, code
from unlearnable.metrics.subject import held_out_loss
from unlearnable.models.base import Model
from unlearnable.personalization.base import Personalizer
from unlearnable.personalization.concept import generate
from unlearnable.personalization.learned import fit_of
from unlearnable.personalization.prompts import without

CODE = ("models", "personalization", "images/square.py", "rng.py", "metrics/subject.py", "evaluation/attack.py")


@dataclass(frozen=True)
class Pictures:
    """Pictures ``[n 3 s s]`` in [0, 1] as a model sees them, and the content hashes of their files.

    `names` are the hashes of their clean pictures. They name the training's randomness, so that attackers under all
    conditions see the same crops and noise, and only the pictures differ. `captions` are the pictures' own texts, empty
    where all have the prompt.
    """

    images: Tensor
    contents: tuple[str, ...]
    names: tuple[str, ...] = ()
    captions: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Trial:
    """How an attacker is tested: it trains with `seed` and `prompt`, and then draws pictures in `sampling` steps.

    Losses are means over `draws` of time and noise, the same for every picture and model.
    """

    attacker: Personalizer
    prompt: str
    seed: int
    generated: int
    sampling: int
    draws: int

    def cell(self, model: Model, seen: Pictures | None, held_out: Pictures) -> Cell:
        """The store's cell of this trial on the pictures that the attacker sees (None: untrained) and held-out ones."""
        settings = asdict(self) | {"attacker": asdict(self.attacker)}
        if seen is None and self.attacker.start(model, self.seed) is model:
            settings["attacker"] = None  # an untouched model is the same for every attacker
            settings["prompt"] = without(self.prompt, self.attacker.token)
        return Cell(
            {"kind": "attack", "code": code(*CODE), "model": model.fingerprint(), "trial": settings,
             "seen": seen and [seen.contents, seen.names, seen.captions], "held_out": list(held_out.contents)}
        )  # fmt: skip

    def __call__(
        self,
        model: Model,
        seen: Pictures | None,
        held_out: Pictures,
        checkpoint: Path | None = None,
        progress: Callable[[int, int, float], None] | None = None,
    ) -> tuple[dict[str, Any], Tensor]:
        """Run the trial. Returns losses and seconds, and the generated pictures.

        `held_out` has a loss for each photograph to be tested on, `own_before` and `own_after` the mean loss of the
        attacker's own training pictures under the model before and after. Without `seen` the model is tested before any
        training, with a prompt without the token, which it does not know. With `checkpoint`, an interrupted training
        run resumes. Raises UnlearnableError where the training diverges, SetupError where the memory is too small.
        """
        started = time.monotonic()
        try:
            facts, learned, prompt = self._learn(model, seen, checkpoint, progress)
            facts["held_out"] = held_out_loss(learned, held_out.images, prompt, self.draws).tolist()
            pictures = generate(learned, [prompt] * self.generated, seed=self.seed, steps=self.sampling)
        except torch.OutOfMemoryError as error:
            raise SetupError("the attacker does not fit into memory: use a smaller model, or lora") from error
        if not all(map(math.isfinite, facts["held_out"])):
            raise UnlearnableError(
                "the losses are not finite: the training diverged, try another preset or fewer steps"
            )
        return facts | {"seconds": round(time.monotonic() - started, 2)}, pictures

    def _learn(
        self, model: Model, seen: Pictures | None, checkpoint: Path | None, progress: Any
    ) -> tuple[dict[str, Any], Model, str]:
        attacker = self.attacker
        if seen is None:
            return {}, attacker.start(model, self.seed), without(self.prompt, attacker.token)
        x, options = seen.images, {"checkpoint": checkpoint, "progress": progress, "captions": seen.captions or None}
        concept = attacker.fit(model, x, self.prompt, seed=self.seed, keys=seen.names or None, **options)
        own = fit_of(model, concept, x, draws=self.draws, seed=self.seed)
        return {"own_before": own.before, "own_after": own.after}, concept.model, self.prompt
