"""Two methods beside each other: both rates and their difference, over the subjects that have all cells of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unlearnable.bench import sums
from unlearnable.bench.export import MEAN, WORST
from unlearnable.bench.grid import AXES, Point, chosen
from unlearnable.bench.page import everything, models, overall
from unlearnable.bench.study import CLEAN, RANDOM, UNTOUCHED
from unlearnable.bench.sums import Row
from unlearnable.bench.tables import Table
from unlearnable.errors import UsageError, suggestion
from unlearnable.evaluation.rates import Estimate


@dataclass(frozen=True)
class Beside:
    """Rates of two methods, and how much higher the first is; `where` is a countermeasure, the mean, or the worst."""

    where: str
    subjects: int
    first: Estimate
    second: Estimate
    gap: Estimate


def compare(t: Table, method: str, other: str) -> list[Beside]:
    """A line for each countermeasure, their mean, and the worst case of each subject; none where no subject has both.

    Intervals (95 %) are over subjects; that of a difference draws the same subjects for both.
    """
    mine, theirs = t.pairs[method], t.pairs[other]
    both = sums.complete(*mine) & sums.complete(*theirs)
    if not both.any():
        return []
    mine, theirs = ((part[both], whole[both]) for part, whole in (mine, theirs))
    names = enumerate(t.ground.purifies)
    found = [beside(name, column(mine, i), column(theirs, i), sums.least) for i, name in names]
    return [*found, beside(MEAN, mine, theirs, sums.summed), beside(WORST, mine, theirs, sums.least)]


def column(pair: sums.Pair, i: int) -> sums.Pair:
    part, whole = pair
    return part[:, [i]], whole[:, [i]]


def beside(where: str, mine: sums.Pair, theirs: sums.Pair, over: sums.Reduction) -> Beside:
    learned = ~mine[1].isnan().all(1)  # subjects that an attacker learned from the clean pictures
    first, second = (sums.ratio(*over(part[learned], whole[learned])) for part, whole in (mine, theirs))
    return Beside(where, int(learned.sum()), first, second, sums.apart(mine, theirs, over))


def comparable(rows: Sequence[Row], method: str, other: str, only: Sequence[str] = ()) -> list[Table]:
    """Tables over all attackers that hold both methods, of the rows that ``axis=value|value`` texts leave.

    Raises UsageError for a method that no row is of, and where no row is left.
    """
    known = dict.fromkeys(r["method"] for r in rows if r["method"] not in (CLEAN, UNTOUCHED))
    for name in (method, other):
        if name not in known:
            raise UsageError(f"the rows hold no method {name!r}: {suggestion(name, list(known))}")
    if only:
        points = {Point(*(r[axis] for axis in AXES)): r for r in rows}
        chosen([point for point in points if point.method == method], only)
        rows = [points[point] for point in chosen(points, only)]
    rows = [r for r in rows if r["method"] in (method, other, RANDOM, CLEAN, UNTOUCHED)]
    tables = [t for model in models(rows) for t in overall(everything(rows, model))]
    return [t for t in tables if t.pairs.keys() >= {method, other}]
