"""Sums of losses over photographs, attackers and seeds, by subject and countermeasure; rates are made of them.

Protection rate P = (L - L_clean) / (L_untouched - L_clean), a ratio of sums. L_clean is the loss for clean
pictures with the same countermeasure, attacker, prompt and seed, so that the cost of a countermeasure by itself is not
counted as protection. Where an attacker did not learn the clean pictures (its loss fell by less than 1 %),
there is nothing to protect: such cells are listed and never counted.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unlearnable.bench.study import CLEAN, UNTOUCHED
from unlearnable.evaluation.rates import Estimate
from unlearnable.metrics.intervals import of_difference, of_ratio
from unlearnable.metrics.worst import chosen, widening
from unlearnable.personalization.learned import LEAST

Row = Mapping[str, Any]
Pair = tuple[Tensor, Tensor]  # what is left of a gain, and the gain
Reduction = Callable[[Tensor, Tensor], Pair]  # of both over the countermeasures of each subject
CellKey = tuple[str, str, str, int]  # subject, attack, purify, seed

# Losses on photographs that no attacker saw, or on the clean originals of those that it was trained on.
HELD_OUT, OWN = "held_out", "own"
SHARED = (UNTOUCHED, CLEAN)  # of all budgets


@dataclass(frozen=True)
class Unlearned:
    """An attacker that did not learn a subject's clean pictures: its loss fell by the share `gain` only."""

    subject: str
    attack: str
    purify: str
    seed: int
    gain: float


@dataclass(frozen=True)
class Baseline:
    """Attackers' gains from the clean pictures, of one model under one prompt: what protections are compared with.

    `gains` holds the sum of losses under the clean pictures' attacker, and how far the untouched model's is above it.
    """

    judged: str
    subjects: tuple[str, ...]
    purifies: tuple[str, ...]
    gains: Mapping[CellKey, tuple[float, float]]
    unlearned: tuple[Unlearned, ...]

    def among(self, rows: Iterable[Row]) -> Baseline:
        """The baseline restricted to the cells that these rows hold."""
        tried = {cell_key(r) for r in rows}
        gains = {where: gain for where, gain in self.gains.items() if where in tried}
        left = {purify for _, _, purify, _ in tried}
        return replace(self, gains=gains, purifies=tuple(name for name in self.purifies if name in left))


def cell_key(row: Row) -> CellKey:
    return row["subject"], row["attack"], row["purify"], row["seed"]


def baseline(rows: Iterable[Row], model: str, prompt: str, judged: str, attack: str = "") -> Baseline:
    """Gains from the clean pictures of a model's subjects under one prompt, of one attacker or (with "") of all."""
    of_model = [row for row in rows if row["model"] == model and attack in ("", row["attack"] or attack)]
    purified = [row for row in of_model if row["purify"]]
    purifies = sorted(dict.fromkeys(row["purify"] for row in purified), key=lambda name: name != "none")
    judgeable = [row for row in of_model if row["prompt"] in ("", prompt) and total(row, judged) is not None]
    untouched, gains, unlearned = [row for row in judgeable if row["method"] == UNTOUCHED], {}, []
    for row in (row for row in judgeable if row["method"] == CLEAN):
        starts = [u for u in untouched if u["subject"] == row["subject"] and u["attack"] in ("", row["attack"])]
        if not starts:
            continue
        after, before = (total(x, judged) or 0.0 for x in (row, max(starts, key=lambda u: u["seed"] == row["seed"])))
        if before <= 0 or (before - after) / before < LEAST:
            unlearned.append(Unlearned(*cell_key(row), (before - after) / before if before else 0.0))
        else:
            gains[cell_key(row)] = (after, before - after)
    return Baseline(
        judged, tuple(dict.fromkeys(row["subject"] for row in purified)), tuple(purifies), gains, tuple(unlearned)
    )


def total(row: Row, judged: str) -> float | None:
    """The sum of a cell's losses; None where there is none, or one that is not finite."""
    losses = row[judged]
    return sum(losses) if losses and all(x is not None and math.isfinite(x) for x in losses) else None


def pairs(rows: Sequence[Row], baseline: Baseline) -> Pair:
    """L - L_clean and L_untouched - L_clean, ``[subjects, purifies]`` each, summed over attackers and seeds.

    NaN in both: no attacker learned the clean pictures. NaN in the first alone: a cell of the method is lacking.
    """
    excess: dict[tuple[str, str], dict[tuple[str, int], float]] = defaultdict(dict)
    for row in rows:
        loss, where = total(row, baseline.judged), cell_key(row)
        if loss is not None and where in baseline.gains:
            excess[row["subject"], row["purify"]][row["attack"], row["seed"]] = loss - baseline.gains[where][0]
    expected: dict[tuple[str, str], dict[tuple[str, int], float]] = defaultdict(dict)
    for (subject, attack, purify, seed), (_, gain) in baseline.gains.items():
        expected[subject, purify][attack, seed] = gain
    part, whole = torch.full((2, len(baseline.subjects), len(baseline.purifies)), math.nan, dtype=torch.float64)
    for i, subject in enumerate(baseline.subjects):
        for j, purify in enumerate(baseline.purifies):
            if needed := expected.get((subject, purify)):
                whole[i, j] = sum(needed.values())
                if excess[subject, purify].keys() == needed.keys():
                    part[i, j] = sum(excess[subject, purify].values())
    return part, whole


def complete(part: Tensor, whole: Tensor) -> Tensor:
    """Which subjects have every cell that there is a gain for, bool ``[subjects]``."""
    return (part.isnan() == whole.isnan()).all(1) & ~whole.isnan().all(1)


def least(part: Tensor, whole: Tensor) -> Pair:
    """Both sums of each subject behind the worst countermeasure, ``[subjects]`` each; other subjects choose which."""
    at = chosen(part, whole)[:, None]
    return part.gather(1, at)[:, 0], whole.gather(1, at)[:, 0]


def summed(part: Tensor, whole: Tensor) -> Pair:
    """Both sums of each subject over all countermeasures, ``[subjects]`` each."""
    return part.nansum(1), whole.nansum(1)


def ratio(part: Tensor, whole: Tensor, widen: float = 1.0) -> Estimate:
    """A ratio of sums over subjects ``[n]`` and its interval over others like them (times `widen`)."""
    if not len(part):
        return Estimate(note="no cells")
    return Estimate(float(part.sum() / whole.sum()), *of_ratio(part, whole, widen=widen))


def apart(pair: Pair, other_pair: Pair, over: Reduction = least) -> Estimate:
    """The difference of two methods' rates, in the worst case or as `over` reduces the countermeasures.

    It is over the subjects that have all cells of both; the interval draws the same subjects for both.
    """
    both = complete(*pair) & complete(*other_pair)
    if not both.any():
        return Estimate(note="no subject has all cells of both")
    one, other = (over(part[both], whole[both]) for part, whole in (pair, other_pair))
    first, second = (float(part.sum() / whole.sum()) for part, whole in (one, other))
    return Estimate(
        first - second, *of_difference(one, other, widen=widening(pair[0].shape[1]) if over is least else 1.0)
    )
