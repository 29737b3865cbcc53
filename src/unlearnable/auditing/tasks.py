"""The cells of one audit, done one after the other; finished ones are read from the store."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unlearnable.auditing.settings import NONE, Settings
from unlearnable.errors import PictureError, SetupError, UnlearnableError, UsageError
from unlearnable.evaluation.attack import Pictures, Trial
from unlearnable.evaluation.material import CLEAN, CONTROL, PROTECTED, UNTOUCHED, Condition, Material, purified
from unlearnable.evaluation.rates import Result, Row, rows
from unlearnable.evaluation.store import Store
from unlearnable.metrics.features import Features
from unlearnable.metrics.subject import similarity

if TYPE_CHECKING:
    from unlearnable.models.base import Model
    from unlearnable.personalization.base import Personalizer
    from unlearnable.purification.chain import Chain


@dataclass(frozen=True)
class Task:
    """One cell of an audit."""

    attack: str
    condition: Condition
    seed: int

    def __str__(self) -> str:
        return f"{self.attack}, {self.condition}, seed {self.seed}"


def tasks(settings: Settings, tried: list[Condition]) -> list[Task]:
    """All cells in the order of the report; the untouched model has the first seed only."""
    pairs = [(attack, condition) for attack in settings.attacks for condition in tried]
    return [
        Task(attack, condition, seed)
        for attack, condition in pairs
        for seed in (settings.seeds[:1] if condition.kind == UNTOUCHED else settings.seeds)
    ]


@dataclass
class Run:
    """The inputs that all tasks of an audit share, and their results so far."""

    settings: Settings
    model: Model
    network: Features
    attackers: dict[str, Personalizer]
    chains: dict[str, Chain]
    material: Material
    store: Store
    results: dict[str, dict[Condition, dict[int, Result]]] = field(default_factory=dict)
    failed: dict[str, dict[Condition, str]] = field(default_factory=dict)
    cells: list[dict[str, Any]] = field(default_factory=list)

    def seen(self, condition: Condition, seed: int) -> Pictures:
        """The pictures that an attacker trains on under a condition."""
        material = self.material
        base = {CLEAN: material.clean, PROTECTED: material.protected, CONTROL: material.controls[seed]}[condition.kind]
        if condition.purify == NONE:
            return base
        return purified(self.chains[condition.purify], base, seed, self.model, self.store)

    def purify(self) -> list[str]:
        """Put all pictures through the countermeasures. Leave out those that fail; returns a sentence for each."""
        problems = []
        for name in list(self.chains):
            try:
                for seed in self.settings.seeds:
                    for kind in (CLEAN, PROTECTED):
                        self.seen(Condition(kind, name), seed)
            except (UsageError, SetupError, PictureError):
                raise
            except UnlearnableError as error:
                problems.append(f"the countermeasure {name!r} failed and was left out: {error}")
                del self.chains[name]
        return problems

    @cached_property
    def real(self) -> Tensor:
        """Features of all clean photographs of the subject."""
        return self.network(torch.cat([self.material.clean.images, self.material.held_out.images]))

    @cached_property
    def judges(self) -> Pictures:
        """The pictures that test every attacker: held-out photographs, then the clean originals of its own pictures."""
        held_out, clean = self.material.held_out, self.material.clean
        return Pictures(torch.cat([held_out.images, clean.images]), (*held_out.contents, *clean.contents))

    def do(self, task: Task, progress: Callable[[int, int, float], None]) -> None:
        """Do a task, or read its result from the store. A failure is noted, and the other tasks go on."""
        settings, judges = self.settings, self.judges
        trial = Trial(
            self.attackers[task.attack],
            settings.prompt,
            task.seed,
            settings.generated,
            settings.sampling,
            settings.draws,
        )
        seen = None if task.condition.kind == UNTOUCHED else self.seen(task.condition, task.seed)
        cell, conditions = trial.cell(self.model, seen, judges), self.results.setdefault(task.attack, {})
        result, seeds = self.store.get(cell), conditions.setdefault(task.condition, {})
        if result is None:
            try:
                outcome = trial(self.model, seen, judges, self.store.checkpoint(cell), progress)
            except (UsageError, SetupError, PictureError):
                raise
            except UnlearnableError as error:
                self.failed.setdefault(task.attack, {})[task.condition] = str(error)
                return
            result = self.store.put(cell, *outcome)
        before, after = (result.get(name, math.nan) for name in ("own_before", "own_after"))
        losses, count = torch.tensor(result["held_out"], dtype=torch.float64), len(self.material.held_out.images)
        held_out, originals = losses[:count], losses[count:]
        similarities = similarity(self.network(self.store.load(cell, result)), self.real)
        seeds[task.seed] = Result(held_out, originals, before, after, similarities)
        paths = [path.relative_to(self.store.folder.parent).as_posix() for path in self.store.pictures(cell, result)]
        facts = {
            "attack": task.attack, "condition": task.condition.kind, "purify": task.condition.purify,
            "held_out": held_out.tolist(), "originals": originals.tolist(), "pictures": paths,
        }  # fmt: skip
        self.cells.append({"cell": cell.key, "seed": task.seed} | result | facts)

    def rows(self) -> list[Row]:
        return [row for name, results in self.results.items() for row in rows(name, results, self.failed.get(name, {}))]
