"""The max-min game over a whole data set: a surrogate trains on the protected pictures, which ascend against it.

Zhao et al., arXiv 2306.01902: ``max_{|delta_i| <= eps} min_theta sum_i E_{t,eps} L(x_i + delta_i; theta)``. Here theta
and the deltas take turns: `GameSettings.train` steps of theta on mini-batches of ``x + delta``, then `steps` of
ascent of every picture's own delta with theta held still. Everything lies on disk and is kept turn by turn, so that
memory does not grow with the data set and a run that was killed resumes and ends with the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlearnable.errors import UsageError
from unlearnable.images.square import square
from unlearnable.models.base import Model
from unlearnable.models.finetune.checkpoint import Checkpoint, read, write
from unlearnable.models.finetune.training import Trainer
from unlearnable.parallel.workers import Workers, workers
from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.parameterisation import PixelPerturbation, Pixels
from unlearnable.protection.probe import measured
from unlearnable.protection.records import Deltas, Views
from unlearnable.protection.surrogates import view
from unlearnable.protection.timesteps import MEASURED

PROBES = 16  # pictures that a measured law is measured on

Progress = Callable[[float], None]


class Protected:
    """The protected pictures after a turn, in the surrogate's latents; rows are read and encoded when indexed."""

    def __init__(self, model: Model, views: Views, deltas: Deltas, turn: int) -> None:
        self.model, self.views, self.deltas, self.turn = model, views, deltas, turn
        self.keys, self.device = views.keys, model.device
        self.shape = (len(views), *model.latent_shape(model.size, model.size))

    def __len__(self) -> int:
        return len(self.views)

    @torch.no_grad()
    def __getitem__(self, rows: Tensor) -> Tensor:
        pictures = [self.views.get([i])[0] + self.deltas.get(i, self.turn) for i in rows.tolist()]
        shown = torch.cat([square(x, self.model.size) for x in pictures])
        return torch.cat([self.model.encode(x) for x in shown.to(self.device).split(8)])


class SetTrainer(Trainer):
    """The one training loop, on pictures that are read as they are needed."""

    def _data(self, images: Any, c: Any) -> Any:
        return [images], images.keys, c


class Game:
    """One game: `views` and everything else in `folder`; `run` names it, and a folder of another run is refused.

    `scratch`: the surrogate starts from random weights, not from the model's. `batch` pictures ascend at once.
    Processes that `accelerate launch` started over one folder share the ascent; the first trains, and the others read
    what it has written.
    """

    def __init__(
        self,
        settings: Protection,
        model: Model,
        views: Views,
        folder: Path,
        *,
        prompt: str = "",
        scratch: bool = False,
        seed: int = 0,
        batch: int = 8,
        run: str = "",
        crew: Workers | None = None,
    ) -> None:
        if not isinstance(settings.constraint, LinfConstraint):
            budget = settings.constraint.describe()
            raise UsageError(f"a data set is protected within a largest change, not {budget}: give eps instead")
        pixels = settings.parameterisation
        if settings.game is None or settings.objective is None or not isinstance(pixels, Pixels):
            raise UsageError(f"{settings.name} plays no game over a data set: use udp or eudp")
        times = settings.estimator.times
        for name, value in (("search", times.search), ("paced", times.paced), ("blur", pixels.blur)):
            if value:
                raise UsageError(f"{name}=true is for pictures by themselves, not for a data set: leave it out")
        self.settings, self.views, self.scratch, self.seed, self.batch = settings, views, scratch, seed, batch
        self.game, self.objective, self.pixels = settings.game, settings.objective, pixels
        fit = self.game.fit(settings.rounds, scratch)
        self.trainer = SetTrainer(model.copy(scratch=scratch, seed=seed), fit, seed)
        self.view = view(self.trainer.model, prompt)
        self.prompt, self.crew = prompt, crew or workers(0)
        self.deltas = Deltas(folder, views.shapes, settings.constraint.radius / 255)
        self.store, self.law = Checkpoint(folder / "surrogate.safetensors", run), folder / "law.safetensors"

    def play(self, progress: Progress | None = None) -> None:
        """Play to the end, from the state in the folder; `progress` is called with the share that is done.

        Raises UnlearnableError when training diverges or a gradient is not finite; what was done is kept.
        """
        if self.store.load(self.trainer):
            return
        tell, rounds = progress or (lambda share: None), self.settings.rounds
        self.crew.wait()  # all have read the state before any process changes it
        first = 0
        while self.trainer.done > self.game.steps_until(first, self.scratch):
            first += 1
        if not first:
            self._start()
        for turn in range(first, rounds):
            self._train(turn, partial(half, tell, turn, rounds))
            self._ascend(turn, partial(half, tell, turn + 0.5, rounds))
        if self.crew.first:
            write(self.law, {"p": self._law(rounds)}, {})
            self.store.save(self.trainer, finished=True)
        self.crew.wait()

    def delta(self, i: int) -> Tensor:
        """The perturbation of picture `i` at the end, ``[3 h w]``."""
        return self.deltas.get(i, self.settings.rounds)

    def add(self, x: Tensor, mask: Tensor, keys: Sequence[str]) -> Tensor:
        """Perturbations of pictures that came later ``[b 3 h w]``: their ascent against the surrogate as it ended.

        As many steps as the others had; theta has seen the others' noise and stays as it is.
        """
        delta, p = None, read(self.law)[0]["p"]
        for turn in range(self.settings.rounds):
            delta = self._climb(x, mask, keys, delta, p, turn)
        return torch.zeros_like(x) if delta is None else delta.cpu()

    def close(self) -> None:
        self.deltas.close()

    def tidy(self) -> None:
        """Remove files that only an unfinished game needs."""
        self.deltas.files[(self.settings.rounds + 1) % 2].path.unlink(missing_ok=True)

    def _start(self) -> None:
        for rows in self._share():
            if not all(self.deltas.has(i, 0) for i in rows):
                x, mask = self.views.get(rows)
                self._keep(rows, 0, self._pixels(x, mask, [self.views.keys[i] for i in rows]).delta)
        self.deltas.flush(0)
        self.crew.wait()

    def _train(self, turn: int, tell: Progress) -> None:
        trainer, until = self.trainer, self.game.steps_until(turn, self.scratch)
        remaining = until - trainer.done
        if remaining <= 0:
            return
        if not self.crew.first:
            self.crew.wait()
            self.store.load(trainer)
            return

        def after(trainer: Trainer) -> None:
            self.store(trainer)
            tell(1 - (until - trainer.done) / remaining)

        data: Any = Protected(trainer.model, self.views, self.deltas, turn)
        try:
            trainer.run(data, self.view.condition, remaining, after=after)
        except KeyboardInterrupt:
            if trainer.between_steps:
                self.store.save(trainer)
            raise
        self.store.save(trainer)  # before this turn's ascent writes over what an earlier state would need
        self.crew.wait()

    def _ascend(self, turn: int, tell: Progress) -> None:
        p, count = self._law(turn), 0
        for rows in self._share():
            if not all(self.deltas.has(i, turn + 1) for i in rows):
                x, mask = self.views.get(rows)
                delta = torch.stack([self.deltas.get(i, turn) for i in rows])
                keys = [self.views.keys[i] for i in rows]
                self._keep(rows, turn + 1, self._climb(x, mask, keys, delta, p, turn))
            count += len(rows) * self.crew.count
            tell(min(1.0, count / len(self.views)))
        self.deltas.flush(turn + 1)
        self.crew.wait()

    def _climb(
        self, x: Tensor, mask: Tensor, keys: Sequence[str], delta: Tensor | None, p: Tensor, turn: int
    ) -> Tensor:
        """One turn's ascent, from `delta` or from the start."""
        s, change = self.settings, self._pixels(x, mask, keys)
        if delta is not None:
            change.moved = change.delta = change.scene.project(delta.to(change.scene.x))
        with torch.no_grad():
            goal = self.objective.target(self.view.model, change.scene.x)
        shared = (goal, p, keys, self.seed)
        for step in range(turn * s.steps, (turn + 1) * s.steps):
            seen, size = change.seen, x.shape[-2:]
            change.move(s.estimator.gradient(self.objective, [self.view], seen, size, *shared, step))
        return change.delta

    def _pixels(self, x: Tensor, mask: Tensor, keys: Sequence[str]) -> PixelPerturbation:
        scene = self.settings.scene(self.view.model, x, self.prompt, mask, self.seed, keys)
        return self.pixels.begin(self.view.model, scene)

    def _keep(self, rows: Sequence[int], turn: int, delta: Tensor) -> None:
        for i, each in zip(rows, delta):
            self.deltas.put(i, turn, each)

    def _law(self, turn: int) -> Tensor:
        times = self.settings.estimator.times
        if times.law != MEASURED:
            return times.probabilities(self.view.model.schedule)
        return measured(self.objective, self.view, *self._probe(turn), self.seed)

    def _probe(self, turn: int) -> tuple[list[Tensor], list[str]]:
        """Some of the protected pictures after a turn, evenly spread over the data set."""
        rows = range(0, len(self.views), max(1, len(self.views) // PROBES))[:PROBES]
        return [self.views.get([i])[0] + self.deltas.get(i, turn) for i in rows], [self.views.keys[i] for i in rows]

    def _share(self) -> Iterator[list[int]]:
        """This process's batches."""
        return islice(self._batches(), self.crew.rank, None, self.crew.count)

    def _batches(self) -> Iterator[list[int]]:
        """Rows of one shape, `batch` at a time; the same ones whatever has been done."""
        shapes: dict[tuple[int, ...], list[int]] = {}
        for i, shape in enumerate(self.views.shapes):
            shapes.setdefault(tuple(shape), []).append(i)
        for rows in shapes.values():
            yield from (rows[i : i + self.batch] for i in range(0, len(rows), self.batch))


def half(tell: Progress, begun: float, rounds: int, share: float) -> None:
    """Tell how much of the game is done, `share` being that of half a round."""
    tell((begun + share / 2) / rounds)
