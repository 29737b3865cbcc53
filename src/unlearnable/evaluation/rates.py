"""Protection rates with intervals for each attacker and condition, over all seeds, computed from cells."""

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

# The photographs that judge what an attacker knows of the subject: ones that it never saw, or the clean originals of
# those that it trained on.
HELD_OUT, ORIGINALS = "held_out", "originals"


@dataclass(frozen=True)
class Result:
    """The measurements of a cell: losses on both sets of photographs, own losses, similarity of generated pictures."""

    held_out: Tensor
    originals: Tensor
    own_before: float = math.nan
    own_after: float = math.nan
    similarity: Tensor | None = None


Results = Mapping[Condition, Mapping[int, Result]]  # by seed


@dataclass(frozen=True)
class Estimate:
    """A value and its interval (95 %); NaN where undefined, for which `note` gives the reason."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    note: str = ""

    @property
    def defined(self) -> bool:
        return not math.isnan(self.value)


@dataclass(frozen=True)
class Measure:
    """An attacker's results on one set of photographs.

    `loss` is their mean, `rate` the protection rate, `by_seed` that of each seed alone, `over_control` how much of it
    is above the random control's. `left` and `gain` are the parts of the rate, L - L_clean and L_untouched - L_clean of
    each seed's photographs.
    """

    loss: Estimate = Estimate()
    rate: Estimate = Estimate()
    over_control: Estimate = Estimate()
    by_seed: tuple[float, ...] = ()
    left: tuple[tuple[float, ...], ...] = ()
    gain: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class Row:
    """One attacker under one condition, measured on both sets of photographs; `judged` names the one that counts.

    `own_before` and `own_after` are losses on the attacker's own training pictures. `failed` is the reason where there
    are no measurements.
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
    """The rows of one attacker, from results by condition and seed (the untouched model has one), or the failure.

    Held-out photographs judge the attacker if it learned them from the clean pictures. If it did not, but learned
    those pictures themselves, their clean originals judge it.
    """
    measured_rows = [row(attack, condition, seeds, failed.get(condition, "")) for condition, seeds in results.items()]
    clean, untouched, control = (results.get(Condition(kind)) for kind in (CLEAN, UNTOUCHED, CONTROL))
    if clean and untouched:

        def on(line: Row, which: str) -> Measure:
            if line.condition.kind == UNTOUCHED:
                return line.on(which)
            before = losses(untouched, which)[0]
            return measured(line.on(which), which, results[line.condition], clean, before, control)

        measured_rows = [replace(r, held_out=on(r, HELD_OUT), originals=on(r, ORIGINALS)) for r in measured_rows]
    learned = [which for which in (HELD_OUT, ORIGINALS) if any(line.on(which).rate.defined for line in measured_rows)]
    return [replace(line, judged=(learned or [HELD_OUT])[0]) for line in measured_rows]


def row(attack: str, condition: Condition, seeds: Mapping[int, Result], failed: str) -> Row:
    """A condition's row without rates, which need other conditions."""
    if not seeds:
        return Row(attack, condition, failed=failed)
    before, after = (
        mean(torch.tensor(values)) for values in zip(*[(r.own_before, r.own_after) for r in seeds.values()])
    )
    similarities = [r.similarity for r in seeds.values() if r.similarity is not None]
    held_out, originals = (Measure(estimate(losses(seeds, which).mean(0))) for which in (HELD_OUT, ORIGINALS))
    return Row(
        attack, condition, held_out, originals, own_before=before, own_after=after,
        similarity=estimate(torch.cat(similarities)) if similarities else Estimate(), failed=failed,
    )  # fmt: skip


def measured(
    plain: Measure, which: str, seeds: Mapping[int, Result], clean: Mapping[int, Result], untouched: Tensor,
    control: Mapping[int, Result] | None,
) -> Measure:  # fmt: skip
    """The measure `plain` with its rates, over the seeds that all of its conditions have."""
    both = [seed for seed in seeds if seed in clean]
    if not both:
        return plain
    learned, own = losses(clean, which, both), losses(seeds, which, both)
    baseline = untouched.expand_as(own)
    score, gain = protection_rate(learned.mean(0), own.mean(0), untouched), ratio(baseline - learned, baseline)
    if math.isnan(score.mean) or gain < LEAST:
        why = score.note or f"undefined: the loss fell by {100 * gain:.2g} %, less than {100 * LEAST:g} %"
        return replace(plain, rate=Estimate(note=why), over_control=Estimate(note=why))
    rate = Estimate(score.mean, *of_ratio(own - learned, baseline - learned), score.note)
    over = Estimate()
    if control and all(seed in control for seed in both):
        above_control = own - losses(control, which, both)
        over = Estimate(ratio(above_control, baseline - learned), *of_ratio(above_control, baseline - learned))
    by_seed = tuple(ratio(a - b, untouched - b) for a, b in zip(own, learned))
    sums = (tuple(map(tuple, x.tolist())) for x in (own - learned, baseline - learned))
    return replace(plain, rate=rate, over_control=over, by_seed=by_seed, left=next(sums), gain=next(sums))


def losses(seeds: Mapping[int, Result], which: str, only: Sequence[int] | None = None) -> Tensor:
    """Losses on one set of photographs, ``[seeds, photographs]``; of all seeds, or `only` some."""
    chosen = [seeds[seed] for seed in (seeds if only is None else only)]
    return torch.stack([(r.originals if which == ORIGINALS else r.held_out).double() for r in chosen])


def ratio(part: Tensor, whole: Tensor) -> float:
    """A ratio of means."""
    return float(part.mean() / whole.mean())


def estimate(values: Tensor) -> Estimate:
    return Estimate(mean(values), *of_mean(values))


def worst(rows: Sequence[Row]) -> tuple[Row, Estimate] | None:
    """The attack with the lowest protection rate, and an unbiased rate of the worst case; None without any rate.

    The least of several noisy rates is too low, because noise chose it. The rate that is returned is therefore not the
    row's own: each half of the photographs chooses the worst attack for the other half.
    """
    tried = [r for r in rows if r.condition.kind == PROTECTED and r.rate.defined]
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
    """Losses ``[cells, seeds, photographs]``; where some cells lack a seed, means over the seeds, ``[cells, 1, p]``."""
    rows = [torch.tensor(cell, dtype=torch.float64) for cell in cells]
    if len({len(row) for row in rows}) > 1:
        rows = [row.mean(0, keepdim=True) for row in rows]
    return torch.stack(rows)
