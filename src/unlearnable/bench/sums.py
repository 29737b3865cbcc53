"""What rates are made of: sums of losses over photographs, attackers and seeds, by subject and countermeasure.

Protection rate P = (L - L_clean) / (L_untouched - L_clean), a ratio of sums. L_clean is that of the clean pictures
through the same countermeasure, attacker, prompt and seed, so that what a countermeasure costs by itself is not counted
as protection. Where an attacker did not learn the clean pictures (its loss fell by less than 1 %) there is nothing to
protect: such cells are listed, and count nowhere.
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
Place = tuple[str, str, str, int]  # subject, attack, purify, seed

# Whose losses judge: photographs that no attacker saw, or the clean originals of those that it was trained on.
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
    """What is compared with what: attackers' gains from the clean pictures, of one model under one prompt.

    `gains` holds the sum of losses under the clean pictures' attacker, and how far the untouched model's is above it.
    """

    judged: str
    subjects: tuple[str, ...]
    purifies: tuple[str, ...]
    gains: Mapping[Place, tuple[float, float]]
    unlearned: tuple[Unlearned, ...]

    def among(self, rows: Iterable[Row]) -> Baseline:
        """What remains where only these were tried: cells that nobody has are compared with nothing."""
        tried = {place(r) for r in rows}
        gains = {where: gain for where, gain in self.gains.items() if where in tried}
        left = {purify for _, _, purify, _ in tried}
        return replace(self, gains=gains, purifies=tuple(name for name in self.purifies if name in left))


def place(row: Row) -> Place:
    return row["subject"], row["attack"], row["purify"], row["seed"]


def ground(rows: Iterable[Row], model: str, prompt: str, judged: str, attack: str = "") -> Baseline:
    """Gains from the clean pictures of a model's subjects under one prompt; of one attacker, or with "" of all."""
    mine = [r for r in rows if r["model"] == model and attack in ("", r["attack"] or attack)]
    known = [r for r in mine if r["purify"]]
    purifies = sorted(dict.fromkeys(r["purify"] for r in known), key=lambda name: name != "none")
    whole = [r for r in mine if r["prompt"] in ("", prompt) and total(r, judged) is not None]
    untouched, found, unlearned = [r for r in whole if r["method"] == UNTOUCHED], {}, []
    for r in (r for r in whole if r["method"] == CLEAN):
        near = [u for u in untouched if u["subject"] == r["subject"] and u["attack"] in ("", r["attack"])]
        if not near:
            continue
        lost, start = (total(x, judged) or 0.0 for x in (r, max(near, key=lambda u: u["seed"] == r["seed"])))
        if start <= 0 or (start - lost) / start < LEAST:
            unlearned.append(Unlearned(*place(r), (start - lost) / start if start else 0.0))
        else:
            found[place(r)] = (lost, start - lost)
    return Baseline(judged, tuple(dict.fromkeys(r["subject"] for r in known)), tuple(purifies), found, tuple(unlearned))


def total(row: Row, judged: str) -> float | None:
    """The sum of a cell's losses; None where there is none, or one that is not finite."""
    losses = row[judged]
    return sum(losses) if losses and all(x is not None and math.isfinite(x) for x in losses) else None


def pairs(rows: Sequence[Row], bare: Baseline) -> Pair:
    """L - L_clean and L_untouched - L_clean, ``[subjects, purifies]`` each, summed over attackers and seeds.

    NaN in both: no attacker learned the clean pictures. NaN in the first alone: a cell of the method is lacking.
    """
    got: dict[tuple[str, str], dict[tuple[str, int], float]] = defaultdict(dict)
    for r in rows:
        loss, where = total(r, bare.judged), place(r)
        if loss is not None and where in bare.gains:
            got[r["subject"], r["purify"]][r["attack"], r["seed"]] = loss - bare.gains[where][0]
    wanted: dict[tuple[str, str], dict[tuple[str, int], float]] = defaultdict(dict)
    for (subject, attack, purify, seed), (_, gain) in bare.gains.items():
        wanted[subject, purify][attack, seed] = gain
    part, whole = torch.full((2, len(bare.subjects), len(bare.purifies)), math.nan, dtype=torch.float64)
    for i, subject in enumerate(bare.subjects):
        for j, purify in enumerate(bare.purifies):
            if needed := wanted.get((subject, purify)):
                whole[i, j] = sum(needed.values())
                if got[subject, purify].keys() == needed.keys():
                    part[i, j] = sum(got[subject, purify].values())
    return part, whole


def complete(part: Tensor, whole: Tensor) -> Tensor:
    """Subjects that have every cell that there is a gain for, ``[subjects]``."""
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


def apart(mine: Pair, theirs: Pair, over: Reduction = least) -> Estimate:
    """How much higher the worst case, or what `over` makes of the countermeasures, of one method is than another's.

    Over the subjects that have all cells of both; the interval draws the same subjects for both.
    """
    both = complete(*mine) & complete(*theirs)
    if not both.any():
        return Estimate(note="no subject has all cells of both")
    one, other = (over(part[both], whole[both]) for part, whole in (mine, theirs))
    first, second = (float(part.sum() / whole.sum()) for part, whole in (one, other))
    return Estimate(
        first - second, *of_difference(one, other, widen=widening(mine[0].shape[1]) if over is least else 1.0)
    )
