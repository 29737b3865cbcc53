"""The points of a study, which are the rows of its table, by their labels. `plan` makes tasks of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from unlearnable.bench.study import CLEAN, CONTROLS, RANDOM, SAME, UNTOUCHED, Study
from unlearnable.errors import UsageError, suggestion
from unlearnable.inputs import assignments

AXES = ("model", "subject", "method", "budget", "purify", "attack", "prompt", "defender", "share", "seed")


@dataclass(frozen=True)
class Point:
    """One row of the table, by its labels; an untouched model has no countermeasure, the controls have no budget."""

    model: str
    subject: str
    method: str
    budget: str
    purify: str
    attack: str
    prompt: str
    defender: str
    share: float
    seed: int

    def __str__(self) -> str:
        words = [self.subject, self.method, self.budget, self.purify, self.attack]
        words += [self.prompt] if self.prompt != SAME else []
        words += [f"against {self.defender}"] if self.defender != self.model else []
        words += [f"share {self.share:g}"] if self.share != 1 else []
        return ", ".join(filter(None, [*words, f"seed {self.seed}"]))


def points(study: Study, subjects: Sequence[str]) -> list[Point]:
    """All points in the order of work: all that is tried on one subject, then the next subject."""
    ordered: dict[Point, None] = {}
    for model, subject in product(study.models, subjects):
        ordered |= dict.fromkeys(of_subject(study, model, subject))
    return list(ordered)


def of_subject(study: Study, model: str, subject: str) -> Iterator[Point]:
    attacks, prompts = [a.label for a in study.attackers], [p.label for p in study.prompts]
    for attack, prompt in product(attacks, prompts):
        yield Point(model, subject, UNTOUCHED, "", "", attack, prompt, model, 1.0, study.seeds[0])
    controls = [(CLEAN, "")]
    for method, budget in [*controls, *product([RANDOM, *(m for m in study.methods if m != RANDOM)], study.budgets)]:
        aside = product(study.prompts, study.defenders, study.shares)
        for purify, attack, (prompt_, defender, share) in product(study.purify, attacks, aside):
            prompt = prompt_.label
            if not (study.cross or usual(study, purify, prompt, defender, share)):
                continue
            if method in (CLEAN, *CONTROLS):  # no model decides these
                defender = SAME
            if method == CLEAN:
                share = 1.0
            for seed in study.seeds:
                against = model if defender == SAME else defender
                yield Point(model, subject, method, budget, purify, attack, prompt, against, share, seed)


def usual(study: Study, purify: str, prompt: str, defender: str, share: float) -> bool:
    """Whether at most one of prompt, defender and share departs from the first; if one does, only without purifying."""
    departures = [prompt != study.prompts[0].label, defender != study.defenders[0], share != study.shares[0]]
    return not any(departures) or (sum(departures) == 1 and purify == study.purify[0])


def chosen(candidates: Iterable[Point], only: Sequence[str]) -> list[Point]:
    """The points that ``axis=value|value`` texts select (`inputs.assignments`).

    A control is not filtered by an axis that it does not have. Raises UsageError for an axis or a value that no point
    has, and where no point is left.
    """
    candidates, allowed = list(candidates), {}
    for axis, values in assignments(only, "--only").items():
        if axis not in AXES:
            raise UsageError(f"--only has no axis {axis!r}: {suggestion(axis, list(AXES))}")
        allowed[axis] = values.split("|")
        existing = [value for value in dict.fromkeys(label(p, axis) for p in candidates) if value]
        for value in allowed[axis]:
            if value not in existing:
                raise UsageError(f"no cell has {axis}={value}: {suggestion(value, existing)}")
    left = [p for p in candidates if all(allows(p, axis, values) for axis, values in allowed.items())]
    if not left:
        raise UsageError(f"no cell is left by {' and '.join(only)}: bench run --dry-run shows all of a recipe")
    return left


def label(point: Point, axis: str) -> str:
    value = getattr(point, axis)
    return f"{value:g}" if isinstance(value, float) else str(value)


def allows(point: Point, axis: str, values: Sequence[str]) -> bool:
    """Whether a point has one of the values, or none on that axis."""
    if not label(point, axis) or (axis in ("method", "defender", "share") and point.method in (CLEAN, UNTOUCHED)):
        return True
    return label(point, axis) in values
