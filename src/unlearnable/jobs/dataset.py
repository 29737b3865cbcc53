"""A folder as one data set: every picture's own noise from one game against a surrogate that trains on all of them.

The state lies beside the output folder, not in it: with the perturbations anybody could take them off again. The set is
fixed when the game begins. Pictures that come later ascend against the surrogate as it ended, and nothing is redone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlearnable.errors import SetupError, UsageError, shown
from unlearnable.jobs.execute import save
from unlearnable.jobs.result import Result
from unlearnable.jobs.run import Remark, Run
from unlearnable.models.base import Model
from unlearnable.models.fresh import PREFIX
from unlearnable.parallel.workers import Workers, workers
from unlearnable.protection.maxmin import Game
from unlearnable.protection.records import Views
from unlearnable.protection.sealing import Job, sizes
from unlearnable.storage.atomic import write_text

LEAST = 2  # pictures that make a data set


@dataclass(frozen=True)
class Member:
    """A picture of the set: what it shows, and its views."""

    content: str
    views: int
    height: int
    width: int


@dataclass(frozen=True)
class WholeSet:
    """The executor of a game: the same files and journal as any run, the perturbations from one game.

    Of processes launched together all play, and the first reads and writes the files.
    """

    run: Run
    crew: Workers

    @classmethod
    def over(cls, run: Run) -> WholeSet:
        """The executor for this process of those that were launched together; raises UsageError without a game."""
        r = run.recipe
        if r.protection().game is None:
            raise UsageError(f"{r.method} plays no game over a data set: use --method udp or eudp, or no --surrogate")
        crew = workers(0)
        device = (crew.device or r.device) if crew.count > 1 else r.device
        return cls(replace(run, recipe=replace(r, device=device)), crew)

    def results(self, model: Model | None, remark: Remark) -> Iterator[Result]:
        r = self.run.recipe
        if r.surrogate != "scratch" and r.model.startswith(PREFIX) and model is None:
            raise UsageError(f"{r.model} has random weights and no checkpoint: use --surrogate scratch")
        model = self.run.begin(model, remark)
        scale = sizes(model, r.resolution or model.size)
        planner = replace(self.run.planner(model), scale=replace(scale, minimum=min(scale.minimum, model.size)))
        jobs = []
        for job in planner.jobs():
            if isinstance(job, Result):
                yield job
            else:
                jobs.append(job)
        if jobs:
            yield from self._played(model, jobs)

    def _played(self, model: Model, jobs: list[Job]) -> Iterator[Result]:
        r, ledger = self.run.recipe, self.run.ledger
        run = hashlib.sha256(f"{r.hash} {model.fingerprint()}".encode()).hexdigest()[:16]
        folder = self.run.out.resolve().with_name(f"{self.run.out.resolve().name}.state") / run
        if not self.crew.first:
            self.crew.wait()
        members = self._members(folder, jobs)
        if self.crew.first:
            self.crew.wait()
        keys = [f"{m.content}:{i}" for m in members for i in range(m.views)]
        shapes = [(3, m.height, m.width) for m in members for _ in range(m.views)]
        views = Views(folder / "views", keys, shapes)
        options: dict[str, Any] = {"prompt": r.prompt, "scratch": r.surrogate == "scratch", "seed": r.seed}
        game = Game(r.protection(), model, views, folder, **options, batch=r.views, run=run, crew=self.crew)
        try:
            ledger.meter.work = {source: 1.0 for source, _ in self.run.pairs}
            game.play(lambda share: ledger.meter.tell(share * len(self.run.pairs)))
            first = dict(zip((m.content for m in members), accumulate((m.views for m in members), initial=0)))
            for job in jobs if self.crew.first else []:
                if job.done:
                    yield ledger.skipped(job.source, job.name, job.digest)
                    continue
                rows = first.get(job.content)
                deltas = self._later(game, job) if rows is None else [game.delta(rows + i) for i in range(count(job))]
                yield save(job, torch.stack(list(deltas)), r, ledger)
        except torch.OutOfMemoryError as error:
            raise SetupError(f"batches of {r.views} do not fit into memory: use a smaller --batch or learn") from error
        finally:
            game.close()
            views.close()
        if self.crew.first:
            game.tidy()
            views.file.path.unlink(missing_ok=True)

    def _members(self, folder: Path, jobs: list[Job]) -> list[Member]:
        """The set as it was when the game began, which may be now."""
        path = folder / "set.json"
        if path.exists():
            return [Member(**each) for each in json.loads(path.read_text())]
        unique = list({job.content: job for job in jobs}.values())
        if len(unique) < LEAST:
            remedy = "give a folder of pictures, or leave --surrogate out"
            raise UsageError(
                f"{shown(unique[0].source)} alone is no data set that a surrogate could train on: {remedy}"
            )
        members = [Member(j.content, count(j), j.canvas.tile_height, j.canvas.tile_width) for j in unique]
        shapes = [(3, m.height, m.width) for m in members for _ in range(m.views)]
        views, row = Views(folder / "views", [""] * len(shapes), shapes), 0
        for job in unique:
            for x, mask in zip(*job.cut()):
                views.put(row, x, mask)
                row += 1
        views.file.flush()
        views.close()
        write_text(path, json.dumps([vars(m) for m in members]))
        return members

    def _later(self, game: Game, job: Job) -> Iterator[Tensor]:
        """The perturbations of a picture that the set did not have; other new pictures do not change them."""
        x, mask = job.cut()
        keys, size = [f"{job.content}:{i}" for i in range(len(x))], self.run.recipe.views
        for part in (slice(i, i + size) for i in range(0, len(x), size)):
            yield from game.add(x[part], mask[part], keys[part])


def count(job: Job) -> int:
    """The number of views in which a model sees the picture."""
    return len(job.canvas.tiles)
