"""Metrics: a name, rows, a direction, and an interval that is honest about few pictures."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from unlearnable import registry
from unlearnable.errors import UsageError
from unlearnable.metrics.intervals import of_mean
from unlearnable.rng import generator

Function = TypeVar("Function", bound=Callable[..., Any])

# What a metric takes: pairs of pictures; pairs and a feature network; pictures alone; rows made of each of two folders
# (features, patch statistics, faces); or an attacker's models.
PAIRS, MAPS, PICTURES, FEATURES, PATCHES, FACES, ATTACK = (
    "pairs", "maps", "pictures", "features", "patches", "faces", "attack"
)  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """A metric's facts: the inputs of its function, the better direction, the unit, and the span of its values."""

    takes: str
    higher_is_better: bool
    unit: str = ""
    span: tuple[float, float] = (-math.inf, math.inf)


def metric(
    takes: str, *, higher_is_better: bool, unit: str = "", span: tuple[float, float] = (-math.inf, math.inf)
) -> Callable[[Function], Function]:
    """Note these facts on a function and leave it as it is."""

    def note(function: Function) -> Function:
        vars(function)["facts"] = Facts(takes, higher_is_better, unit, span)
        return function

    return note


@dataclass(frozen=True)
class Score:
    """One metric's result: `values` ``[n]``, a row for each picture, or a single value for a whole set.

    Rows that are NaN are pictures for which the metric is not defined; they are left out of mean, worst and interval.
    `higher_is_better` follows the metric's docstring. `bounds` is the interval (95 %) of a value that is no mean of
    rows. `note` says why a value is undefined. `seed` is the bootstrap's. `names` are
    the rows' pictures, where they are known.
    """

    name: str
    values: Tensor
    higher_is_better: bool
    unit: str = ""
    bounds: tuple[float, float] | None = None
    note: str = ""
    seed: int = 0
    names: tuple[str, ...] = ()

    @property
    def defined(self) -> Tensor:
        return self.values[~self.values.isnan()]

    @property
    def mean(self) -> float:
        """NaN where no row is defined."""
        return float(self.defined.double().mean())

    @property
    def worst(self) -> float:
        """The row that is furthest in the direction that is not better."""
        if not len(self.defined):
            return math.nan
        return float(self.defined.min() if self.higher_is_better else self.defined.max())

    @property
    def worst_name(self) -> str:
        """The picture behind `worst`; empty where it is not known."""
        matching = [name for name, value in zip(self.names, self.values.tolist()) if value == self.worst]
        return matching[0] if matching else ""

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The interval of the mean over pictures of the same kind (`intervals.of_mean`); NaN for a single row."""
        return self.bounds or of_mean(self.defined, level)


def score(name: str, *inputs: Any, seed: int = 0) -> Score:
    """A registered metric computed on the inputs that its function takes.

    Functions of two sets that give one number get their interval from `half_samples`. Raises UsageError for unknown
    names and for inputs that the metric is not defined for.
    """
    function: Any = registry.load(name, "metric")
    result, details = function(*inputs), facts(function)
    if isinstance(result, Score):
        return result
    bounds = None
    if not isinstance(result, Tensor):
        first, second = inputs
        (low, high), (least, most) = half_samples(function, first, second, seed), details.span
        bounds, result = (max(low, least), min(high, most)), torch.tensor([result])
    return Score(name, result, details.higher_is_better, details.unit, bounds, seed=seed)


def facts(function: Any) -> Facts:
    """The facts that `metric` noted on a function."""
    noted: Facts | None = getattr(function, "facts", None)
    if noted is None:
        raise UsageError(f"{function!r} is no metric: decorate it with unlearnable.metrics.base.metric")
    return noted


def mean(values: Tensor) -> float:
    return float(values.double().mean())


def half_samples(
    statistic: Callable[[Tensor, Tensor], float],
    first: Tensor,
    second: Tensor,
    seed: int = 0,
    rounds: int = 100,
    level: float = 0.95,
) -> tuple[float, float]:
    """Interval of a statistic of two sets of rows, from random halves of both.

    Rows drawn twice would break distances to nearest neighbours and unbiased sums, so halves are drawn without
    replacement; a mean of half the rows then varies by exactly as much as a mean of all rows does over new samples
    (McCarthy 1969). The deviations are taken from the halves' own mean and laid around the value of all rows, since
    FID and its like depend on the number of rows. Sets that are too small for halves: (nan, nan).
    """
    rng, values = generator(seed, "halves"), []
    halves = [len(first) // 2, len(second) // 2]
    try:
        for _ in range(rounds):
            parts = [
                rows[torch.randperm(len(rows), generator=rng)[:half]] for rows, half in zip((first, second), halves)
            ]
            values.append(statistic(*parts))
    except UsageError:  # the statistic's own word for too few rows
        return math.nan, math.nan
    low, high = percentiles(values, level)
    shift = statistic(first, second) - sum(values) / rounds
    return low + shift, high + shift


def percentiles(values: list[float], level: float) -> tuple[float, float]:
    """The middle `level` of some values, outwards to values that occurred: an infinite one stays infinite."""
    ordered, tail = sorted(values), (1 - level) / 2
    if any(math.isnan(x) for x in ordered):
        return math.nan, math.nan
    last = len(ordered) - 1
    return ordered[math.floor(tail * last)], ordered[math.ceil((1 - tail) * last)]


def check(images: Tensor, references: Tensor | None = None) -> None:
    """Raise UsageError unless these are pictures ``[n 3 h w]`` in [0, 1], and the references of the same shape."""
    for x in (images,) if references is None else (images, references):
        if x.ndim != 4 or x.shape[1] != 3 or not x.numel():
            raise UsageError(f"pictures must be [n 3 h w], but the shape is {list(x.shape)}: add or move an axis")
        low, high = float(x.min()), float(x.max())
        if not -1e-3 <= low <= high <= 1 + 1e-3:  # false for NaN as well
            raise UsageError(f"pictures must be in [0, 1], but their samples span {low:g} to {high:g}: rescale them")
    if references is not None and images.shape != references.shape:
        shapes = f"{list(images.shape)} and {list(references.shape)}"
        raise UsageError(f"pictures of shapes {shapes} cannot be compared: give a picture and its own twin")
