"""From cells to what they say: protection rates with intervals, for each attacker and condition, over all seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unlearnable.evaluation.material import CLEAN, CONTROL, PROTECTED, UNTOUCHED, Condition
from unlearnable.metrics.base import mean
from unlearnable.metrics.intervals import of_mean, of_ratio
from unlearnable.metrics.subject import protection_rate
from unlearnable.metrics.worst import chosen, widening
from unlearnable.personalization.learned import LEAST

# What an attacker's knowledge of the subject is judged by: photographs that it never saw, or the clean originals of
# those that it trained on.
HELD_OUT, ORIGINALS = "held_out", "originals"


@dataclass(frozen=True)
class Result:
    """What a cell measured: the losses of both sets' photographs, own losses, similarity of each generated picture."""

    held_out: Tensor
    originals: Tensor
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
class Measure:
    """What the losses of one set of photographs say of an attacker.

    `loss` is their mean, `rate` the protection rate, `by_seed` that of each seed alone, `over_control` how much of it
    is above the random control's. `left` and `gain` are what the rate is made of, L - L_clean and L_untouched - L_clean
    of each seed's photographs.
    """

    loss: Estimate = Estimate()
    rate: Estimate = Estimate()
    over_control: Estimate = Estimate()
    by_seed: tuple[float, ...] = ()
    left: tuple[tuple[float, ...], ...] = ()
    gain: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class Row:
    """One attacker under one condition, measured on both sets of photographs; `judged` by one of them.

    `own_before` and `own_after` are losses of the attacker's own training pictures. `failed` says why there is nothing
    else.
    """

    attack: str
    condition: Condition
    held_out: Measure = Measure()
    originals: Measure = Measure()
    judged: str = HELD_OUT
    own_before: float = math.nan
    own_after: float = math.nan
    similarity: Estimate = Estimate()
    failed: str = ""

    def on(self, photographs: str) -> Measure:
        return self.originals if photographs == ORIGINALS else self.held_out

    @property
    def rate(self) -> Estimate:
        return self.on(self.judged).rate

    @property
    def over_control(self) -> Estimate:
        return self.on(self.judged).over_control


def rows(attack: str, results: Results, failed: Mapping[Condition, str]) -> list[Row]:
    """The rows of one attacker: a result for each condition and seed (the untouched model has one), or why not.

    Held-out photographs judge it where it learned to know them from the clean pictures; where it did not, but learned
    those pictures themselves, their clean originals do.
    """
    found = [row(attack, condition, seeds, failed.get(condition, "")) for condition, seeds in results.items()]
    clean, untouched, control = (results.get(Condition(kind)) for kind in (CLEAN, UNTOUCHED, CONTROL))
    if clean and untouched:

        def on(line: Row, which: str) -> Measure:
            if line.condition.kind == UNTOUCHED:
                return line.on(which)
            before = losses(untouched, which)[0]
            return measured(line.on(which), which, results[line.condition], clean, before, control)

        found = [replace(r, held_out=on(r, HELD_OUT), originals=on(r, ORIGINALS)) for r in found]
    learned = [which for which in (HELD_OUT, ORIGINALS) if any(line.on(which).rate.defined for line in found)]
    return [replace(line, judged=(learned or [HELD_OUT])[0]) for line in found]


def row(attack: str, condition: Condition, seeds: Mapping[int, Result], failed: str) -> Row:
    """What a condition's results say by themselves."""
    if not seeds:
        return Row(attack, condition, failed=failed)
    before, after = (mean(torch.tensor(own)) for own in zip(*[(r.own_before, r.own_after) for r in seeds.values()]))
    alike = [r.similarity for r in seeds.values() if r.similarity is not None]
    held_out, originals = (Measure(estimate(losses(seeds, which).mean(0))) for which in (HELD_OUT, ORIGINALS))
    return Row(
        attack, condition, held_out, originals, own_before=before, own_after=after,
        similarity=estimate(torch.cat(alike)) if alike else Estimate(), failed=failed,
    )  # fmt: skip


def measured(
    plain: Measure, which: str, seeds: Mapping[int, Result], clean: Mapping[int, Result], untouched: Tensor,
    control: Mapping[int, Result] | None,
) -> Measure:  # fmt: skip
    """The same measure with its rates, over the seeds that all of its conditions have."""
    both = [seed for seed in seeds if seed in clean]
    if not both:
        return plain
    learned, mine = losses(clean, which, both), losses(seeds, which, both)
    before = untouched.expand_as(mine)
    score, gain = protection_rate(learned.mean(0), mine.mean(0), untouched), ratio(before - learned, before)
    if math.isnan(score.mean) or gain < LEAST:
        why = score.note or f"undefined: the loss fell by {100 * gain:.2g} %, less than {100 * LEAST:g} %"
        return replace(plain, rate=Estimate(note=why), over_control=Estimate(note=why))
    rate = Estimate(score.mean, *of_ratio(mine - learned, before - learned), score.note)
    over = Estimate()
    if control and all(seed in control for seed in both):
        apart = mine - losses(control, which, both)
        over = Estimate(ratio(apart, before - learned), *of_ratio(apart, before - learned))
    alone = tuple(ratio(a - b, untouched - b) for a, b in zip(mine, learned))
    made = (tuple(map(tuple, x.tolist())) for x in (mine - learned, before - learned))
    return replace(plain, rate=rate, over_control=over, by_seed=alone, left=next(made), gain=next(made))


def losses(seeds: Mapping[int, Result], which: str, wanted: Sequence[int] | None = None) -> Tensor:
    """Of one set of photographs, ``[seeds, photographs]``."""
    chosen = [seeds[seed] for seed in (seeds if wanted is None else wanted)]
    return torch.stack([(r.originals if which == ORIGINALS else r.held_out).double() for r in chosen])


def ratio(part: Tensor, whole: Tensor) -> float:
    """A ratio of means."""
    return float(part.mean() / whole.mean())


def estimate(values: Tensor) -> Estimate:
    return Estimate(mean(values), *of_mean(values))


def worst(found: Sequence[Row]) -> tuple[Row, Estimate] | None:
    """The attack on the protected pictures that left least of the protection, and how much the worst one leaves.

    The least of several noisy rates is too low: it is the noise that chose it. So the rate that is given is not the
    row's own: which attack is the worst for one half of the photographs is decided by the other half.
    """
    tried = [r for r in found if r.condition.kind == PROTECTED and r.rate.defined]
    if not tried:
        return None
    least = min(tried, key=lambda r: r.rate.value)
    cells = [r.on(r.judged) for r in tried if r.judged == least.judged]
    if len(cells) == 1 or not all(cell.left for cell in cells):
        return least, least.rate
    left, gain = (stacked([getattr(cell, name) for cell in cells]) for name in ("left", "gain"))
    at = chosen(left.mean(1).T, gain.mean(1).T).expand(1, left.shape[1], -1)
    part, whole = (x.gather(0, at)[0] for x in (left, gain))
    return least, Estimate(ratio(part, whole), *of_ratio(part, whole, widen=widening(len(cells))))


def stacked(cells: Sequence[Sequence[Sequence[float]]]) -> Tensor:
    """Losses ``[cells, seeds, photographs]``; means over the seeds, as one, where some cells lack a seed."""
    rows = [torch.tensor(cell, dtype=torch.float64) for cell in cells]
    if len({len(row) for row in rows}) > 1:
        rows = [row.mean(0, keepdim=True) for row in rows]
    return torch.stack(rows)
