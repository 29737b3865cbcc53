"""Tasks for the points of a study. A task may depend on others, and points share tasks.

A task's key is a hash of all that decides its result. Where a task works on the output of another, the other's key
stands for the pictures, so that all keys are known before anything is computed.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from unlearnable import registry
from unlearnable.bench.grid import Point
from unlearnable.bench.study import CLEAN, UNTOUCHED, Prompt, Study
from unlearnable.bench.subjects import Subject
from unlearnable.bench.work import Attacking, ModelSpec, Order, Protecting, Purifying, model_at
from unlearnable.errors import UsageError
from unlearnable.evaluation.attack import Pictures, Trial
from unlearnable.evaluation.material import purified_cell, small
from unlearnable.evaluation.store import Cell, code
from unlearnable.images import files
from unlearnable.models.base import Model
from unlearnable.personalization.base import Personalizer
from unlearnable.purification.chain import NONE, parse
from unlearnable.rng import image_keys

PROTECT, PURIFY, ATTACK = "protect", "purify", "attack"
CODE = ("models", "protection", "ldu", "rng.py", "options.py", "recipe.py")
T = TypeVar("T")
JUDGES = ("metrics/features.py", "metrics/subject.py", "models/features.py")


@dataclass(frozen=True)
class Task:
    """A cell and how it is computed: `order` takes the pictures of the cells in `needs`, by their role.

    `kind` is protect, purify or attack; tasks with the same `like` take about the same time.
    """

    kind: str
    like: str
    cell: Cell
    order: Order
    needs: dict[str, Cell]
    label: str


@dataclass(frozen=True)
class Line:
    """A point, its subject's kind, its attack's key and the cell of the attacked pictures (None: untouched model)."""

    point: Point
    kind: str
    attack: str
    pictures: Cell | None


@dataclass(frozen=True)
class Photographs:
    """Cells of one subject's photographs at one size, and the content keys of the clean and the held-out ones."""

    clean: Cell
    held_out: Cell
    reference: Cell | None
    names: tuple[str, ...]
    unseen: tuple[str, ...]


@dataclass
class Plan:
    """Tasks by key, in the order of the points, each after its dependencies. `keep` stores a subject's photographs."""

    study: Study
    subjects: dict[str, Subject]
    keep: Callable[[Cell, Tensor], Any]
    tasks: dict[str, Task] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    shared: dict[tuple[object, ...], Any] = field(default_factory=dict)

    def once(self, make: Callable[[], T], *what: object) -> T:
        """The value of `make`, called once for each `what`; points share it."""
        if what not in self.shared:
            self.shared[what] = make()
        value: T = self.shared[what]
        return value

    def add(self, point: Point) -> None:
        """Add all tasks of a point. Raises UsageError for an attacker or a prompt that does not fit the model."""
        subject, model = self.subjects[point.subject], self.model(point.model)
        photos = self.once(lambda: self.photographs(subject, model.size), "photographs", point.subject, model.size)
        if point.method == UNTOUCHED:
            key = self.attack(point, subject, photos, None, [])
            self.lines.append(Line(point, subject.kind, key, None))
            return
        source = photos.clean
        if point.method != CLEAN:
            what = (point.model, point.subject, point.method, point.budget, point.defender)
            source = self.once(lambda: self.protect(point, subject, photos), PROTECT, *what)
        cell, keys = self.purify(point, source, contents(source, photos))
        needs, count = {"seen": cell}, len(photos.names)
        if point.share < 1:
            count = max(1, round(point.share * count))
            needs["others"], other_keys = self.purify(point, photos.clean, contents(photos.clean, photos))
            keys = [*keys[:count], *other_keys[count:]]
        key = self.attack(point, subject, photos, needs, keys, count)
        self.lines.append(Line(point, subject.kind, key, source))

    def model(self, name: str) -> Model:
        return model_at(self.spec(name))

    def fingerprint(self, name: str) -> str:
        return self.once(self.model(name).fingerprint, "fingerprint", name)

    def spec(self, name: str) -> ModelSpec:
        return ModelSpec(name, self.study.device, self.study.dtype, self.study.offline)

    def photographs(self, subject: Subject, size: int) -> Photographs:
        """Read a subject's files, once for a size."""
        cells = [self.read(paths, size) for paths in (subject.protected, subject.held_out, subject.reference)]
        (clean, names), (held_out, unseen), (reference, _) = cells
        if again := set(names) & set(unseen):
            remedy = "remove the copies"
            raise UsageError(f"{len(again)} of the held-out pictures of {subject.name!r} are learned too: {remedy}")
        return Photographs(clean, held_out, reference if subject.reference else None, names, unseen)

    def read(self, paths: Sequence[Path], size: int) -> tuple[Cell, tuple[str, ...]]:
        images = [(small(files.read(path), size) * 255).round() / 255 for path in paths]
        x = torch.stack(images) if images else torch.empty(0, 3, size, size)
        keys = tuple(image_keys(x))
        cell = Cell({"kind": "photographs", "pictures": list(keys)})
        if images:
            self.keep(cell, x)
        return cell, keys

    def protect(self, point: Point, subject: Subject, photos: Photographs) -> Cell:
        recipe = self.study.recipe(point.method, point.budget, point.defender, subject.prompt("sks"))
        name = point.method.partition(":")[0]
        facts = {
            "kind": "protected", "code": code(*CODE), "model": self.fingerprint(point.defender),
            "pictures": list(photos.names), "recipe": recipe.hash, "trained": trained(recipe.protection()),
            "theirs": theirs(name, "method"),
        }  # fmt: skip
        order = Protecting(self.spec(point.defender), recipe)
        label = f"{point.subject}, {point.method}, {point.budget}"
        return self.task(Task(PROTECT, point.method, Cell(facts), order, {"clean": photos.clean}, label))

    def purify(self, point: Point, seen: Cell, named: list[str]) -> tuple[Cell, list[str]]:
        if point.purify == NONE:
            return seen, named
        chain, size = self.once(lambda: parse(point.purify), PURIFY, point.purify), self.model(point.model).size
        fingerprint = self.fingerprint(point.model) if chain.needs_model else None
        cell = purified_cell(chain, Pictures(torch.empty(0), tuple(named)), point.seed, size, fingerprint)
        outside = [part for link, _ in chain.links for part in theirs(link, "purifier")]
        cell = Cell({**cell.facts, "theirs": outside})
        order = Purifying(chain.name, point.seed, self.spec(point.model) if chain.needs_model else None)
        label = f"{point.subject}, {point.method}, {point.budget}, {point.purify}"
        cell = self.task(Task(PURIFY, point.purify, cell, order, {"seen": seen}, label))
        return cell, [f"{cell.key}:{i}" for i in range(len(named))]

    def attack(
        self, point: Point, subject: Subject, photos: Photographs, seen: dict[str, Cell] | None, named: list[str],
        count: int = 0,
    ) -> str:  # fmt: skip
        what = (point.model, point.subject, point.attack, point.prompt, point.seed, seen is None)
        trial, facts = self.once(lambda: self.trial(point, subject, photos), ATTACK, *what)
        words = self.words(point)
        texts = subject.captions(words.token, words.prompt) if seen else ()
        cell = Cell({**facts, "seen": seen and [named, list(photos.names), *([list(texts)] if texts else [])]})
        needs = (seen or {}) | {"clean": photos.clean, "held_out": photos.held_out}
        needs |= {"reference": photos.reference} if photos.reference else {}
        order = Attacking(self.spec(point.model), trial, self.study.features, count, texts)
        return self.task(Task(ATTACK, point.attack if seen else point.method, cell, order, needs, str(point))).key

    def trial(self, point: Point, subject: Subject, photos: Photographs) -> tuple[Trial, dict[str, Any]]:
        """The trial of a point's attacker, and the facts that decide its result, except for the pictures it sees."""
        study, model = self.study, self.model(point.model)
        attacker, prompt = self.attacker(point, subject)
        trial = Trial(attacker, prompt, point.seed, study.generated, study.sampling, study.draws)
        seen = None if point.method == UNTOUCHED else Pictures(torch.empty(0), ())
        cell = trial.cell(model, seen, Pictures(torch.empty(0), (*photos.unseen, *photos.names)))
        more = [study.features, code(*JUDGES), photos.reference and photos.reference.key]
        return trial, {**cell.facts, "judge": more, "theirs": theirs(attacker.name, "attacker")}

    def words(self, point: Point) -> Prompt:
        return next(p for p in self.study.prompts if p.label == point.prompt)

    def attacker(self, point: Point, subject: Subject) -> tuple[Personalizer, str]:
        """The attacker of a point and the words it uses."""
        study, model = self.study, self.model(point.model)
        attack = next(a for a in study.attackers if a.label == point.attack)
        words = self.words(point)
        from unlearnable.personalization import presets
        from unlearnable.personalization.presets import adjusted

        attacker = adjusted(presets.attacker(attack.name, model, attack.preset), dict(attack.settings))
        if attacker.token:
            attacker = replace(attacker, token=words.token)
        prompt = subject.prompt(words.token, words.prompt)
        attacker.check(model, prompt)
        return attacker, prompt

    def task(self, task: Task) -> Cell:
        return self.tasks.setdefault(task.cell.key, task).cell


def contents(cell: Cell, photos: Photographs) -> list[str]:
    """One name for each picture of a cell, for the keys of cells that are made from them."""
    if cell.key == photos.clean.key:
        return list(photos.names)
    return [f"{cell.key}:{i}" for i in range(len(photos.names))]


def trained(settings: Any) -> list[str]:
    """Digests of the trained files that a method uses: those that ship, and those that its options name."""
    from unlearnable.ldu import method, phi

    shift = getattr(settings, "parameterisation", None)
    if not isinstance(shift, method.TrajectoryShift):
        return []
    named = [Path(text) for text in (shift.rho, shift.phi.partition(":")[2]) if text]
    return [digest(path) for path in (phi.SHIPPED, method.SHIPPED, *named) if path.is_file()]


@cache
def theirs(name: str, kind: str) -> list[str]:
    """Module and digest of a third party's plug-in, whose result no code of ours decides; [] for our own."""
    module = registry.address(name, kind).partition(":")[0]
    spec = None if module.startswith("unlearnable.") else importlib.util.find_spec(module)
    return [module, digest(Path(spec.origin))] if spec and spec.origin else []


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
