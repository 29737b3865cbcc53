"""Two methods compared: both rates and their difference, over the subjects that have all cells of both."""

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
class Comparison:
    """Rates of two methods, and how much higher the first is; `where` is a countermeasure, the mean, or the worst."""

    where: str
    subjects: int
    first: Estimate
    second: Estimate
    gap: Estimate


def compare(table: Table, method: str, other: str) -> list[Comparison]:
    """A line for each countermeasure, their mean, and each subject's worst case; [] where no subject has both methods.

    Intervals (95 %) are over subjects; the interval of a difference draws the same subjects for both.
    """
    pair, other_pair = table.pairs[method], table.pairs[other]
    both = sums.complete(*pair) & sums.complete(*other_pair)
    if not both.any():
        return []
    pair, other_pair = ((part[both], whole[both]) for part, whole in (pair, other_pair))
    names = enumerate(table.baseline.purifies)
    lines = [comparison(name, column(pair, i), column(other_pair, i), sums.least) for i, name in names]
    return [*lines, comparison(MEAN, pair, other_pair, sums.summed), comparison(WORST, pair, other_pair, sums.least)]


def column(pair: sums.Pair, i: int) -> sums.Pair:
    part, whole = pair
    return part[:, [i]], whole[:, [i]]


def comparison(where: str, pair: sums.Pair, other_pair: sums.Pair, over: sums.Reduction) -> Comparison:
    learned = ~pair[1].isnan().all(1)  # subjects that an attacker learned from the clean pictures
    first, second = (sums.ratio(*over(part[learned], whole[learned])) for part, whole in (pair, other_pair))
    return Comparison(where, int(learned.sum()), first, second, sums.apart(pair, other_pair, over))


def comparable(rows: Sequence[Row], method: str, other: str, only: Sequence[str] = ()) -> list[Table]:
    """Tables over all attackers that hold both methods, made from the rows that ``axis=value|value`` texts select.

    Raises UsageError for a method without rows, and where no row is left.
    """
    methods = dict.fromkeys(r["method"] for r in rows if r["method"] not in (CLEAN, UNTOUCHED))
    for name in (method, other):
        if name not in methods:
            raise UsageError(f"the rows hold no method {name!r}: {suggestion(name, list(methods))}")
    if only:
        points = {Point(*(r[axis] for axis in AXES)): r for r in rows}
        chosen([point for point in points if point.method == method], only)
        rows = [points[point] for point in chosen(points, only)]
    rows = [r for r in rows if r["method"] in (method, other, RANDOM, CLEAN, UNTOUCHED)]
    tables = [t for model in models(rows) for t in overall(everything(rows, model))]
    return [t for t in tables if t.pairs.keys() >= {method, other}]
