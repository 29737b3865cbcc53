"""From cells to what they say: protection rates with intervals, for each attacker and condition, over all seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unlearnable.auditing.material import CLEAN, CONTROL, PROTECTED, UNTOUCHED, Condition
from unlearnable.metrics.base import Score, bootstrap, mean
from unlearnable.metrics.subject import protection_rate


@dataclass(frozen=True)
class Result:
    """What a cell measured: held-out losses of each photograph, own losses, similarity of each generated picture."""

    held_out: Tensor
    own_before: float = math.nan
    own_after: float = math.nan
    similarity: Tensor | None = None


Results = Mapping[Condition, Mapping[int, Result]]  # by seed


@dataclass(frozen=True)
class Estimate:
    """A value and its interval (95 %); NaN where undefined, and `note` says why."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    note: str = ""

    @property
    def defined(self) -> bool:
        return not math.isnan(self.value)


@dataclass(frozen=True)
class Row:
    """One attacker under one condition.

    `loss` is the mean held-out loss, `rate` the protection rate, `by_seed` that of each seed alone, `over_control` how
    much of it is above the random control's. `own_before` and `own_after` are losses of the attacker's own training
    pictures. `failed` says why there is nothing else.
    """

    attack: str
    condition: Condition
    loss: Estimate = Estimate()
    rate: Estimate = Estimate()
    over_control: Estimate = Estimate()
    by_seed: tuple[float, ...] = ()
    own_before: float = math.nan
    own_after: float = math.nan
    similarity: Estimate = Estimate()
    failed: str = ""


def rows(attack: str, results: Results, failed: Mapping[Condition, str]) -> list[Row]:
    """The rows of one attacker: a result for each condition and seed (the untouched model has one), or why not."""
    found = [row(attack, condition, seeds, failed.get(condition, "")) for condition, seeds in results.items()]
    clean, untouched, control = (results.get(Condition(kind)) for kind in (CLEAN, UNTOUCHED, CONTROL))
    if not clean or not untouched:
        return found
    return [rated(line, results[line.condition], clean, losses(untouched)[0], control) for line in found]


def row(attack: str, condition: Condition, seeds: Mapping[int, Result], failed: str) -> Row:
    """What a condition's results say by themselves."""
    if not seeds:
        return Row(attack, condition, failed=failed)
    before, after = (mean(torch.tensor(own)) for own in zip(*[(r.own_before, r.own_after) for r in seeds.values()]))
    alike = [r.similarity for r in seeds.values() if r.similarity is not None]
    return Row(
        attack, condition, estimate(losses(seeds).mean(0)), own_before=before, own_after=after,
        similarity=estimate(torch.cat(alike)) if alike else Estimate(), failed=failed,
    )  # fmt: skip


def rated(
    line: Row, seeds: Mapping[int, Result], clean: Mapping[int, Result], untouched: Tensor,
    control: Mapping[int, Result] | None,
) -> Row:  # fmt: skip
    """The same row with its rates. Seeds are averaged for each photograph; intervals are over photographs."""
    if not seeds or line.condition.kind == UNTOUCHED:
        return line
    learned, mine = losses(clean).mean(0), losses(seeds).mean(0)
    rate = of(protection_rate(learned, mine, untouched))
    over = Estimate(note=rate.note)
    if rate.defined and control:
        stacked = torch.stack([learned, mine, untouched, losses(control).mean(0)], 1)
        over = Estimate(above(stacked), *bootstrap(stacked, above))
    both = [seed for seed in seeds if seed in clean] if rate.defined else []
    alone = tuple(protection_rate(clean[s].held_out, seeds[s].held_out, untouched).mean for s in both)
    return replace(line, rate=rate, by_seed=alone, over_control=over)


def losses(seeds: Mapping[int, Result]) -> Tensor:
    """``[seeds, photographs]``."""
    return torch.stack([r.held_out.double() for r in seeds.values()])


def above(stacked: Tensor) -> float:
    """How much more of the attacker's gain is lost than with the control: rows clean, this, untouched, control."""
    clean, this, untouched, control = stacked.mean(0).tolist()
    return float((this - control) / (untouched - clean)) if untouched != clean else math.inf


def estimate(values: Tensor) -> Estimate:
    return Estimate(mean(values), *bootstrap(values))


def of(score: Score) -> Estimate:
    return Estimate(score.mean, *score.interval(), note=score.note)


def worst(found: Sequence[Row]) -> Row | None:
    """The attack on the protected pictures that left least of the protection."""
    tried = [r for r in found if r.condition.kind == PROTECTED and r.rate.defined]
    return min(tried, key=lambda r: r.rate.value, default=None)
