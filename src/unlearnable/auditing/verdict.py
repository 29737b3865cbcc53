"""The verdict in plain words, worst case first. It is never a guarantee."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from unlearnable.auditing.settings import NONE
from unlearnable.evaluation.figures import percent
from unlearnable.evaluation.html import LEAST, MOST
from unlearnable.evaluation.material import CONTROL, PROTECTED
from unlearnable.evaluation.rates import HELD_OUT, ORIGINALS, Estimate, Row, worst

SCALE = (
    "0 % means learned as from clean pictures, 100 % learned nothing. Other attackers, models, prompts and "
    "countermeasures may do better than these: this is a measurement, not a guarantee."
)
UNKNOWN, HELD, PARTLY, NOISE, NOT, UNDECIDED = "no verdict", "held", "partly", "noise", "not", "undecided"
HEADLINES = {
    UNKNOWN: "No verdict: no attacker learned the subject from the clean pictures, so nothing tested the protection.",
    HELD: "Protected against what was tried: even in the worst case, the attacker learned little of the subject.",
    PARTLY: "Partly protected: in the worst case tried, the attacker learned less than without protection.",
    NOISE: "Not shown to protect: the attacker learned less, but random noise of the same size may have done as much.",
    NOT: "Not protected: in the worst case tried, the attacker learned about as well as without protection.",
    UNDECIDED: "Undecided: too few photographs or seeds to tell if the attacker learned less than without protection.",
}
JUDGES = {HELD_OUT: "photographs that it never saw", ORIGINALS: "your own pictures, which it tried to learn"}


@dataclass(frozen=True)
class Verdict:
    """A verdict: `level` is one of the constants above.

    `worst` is the row of the worst case, None without a verdict, and `rate` its protection rate (see `rates.worst`).
    """

    level: str
    sentences: tuple[str, ...]
    worst: Row | None = None
    rate: Estimate = field(default_factory=Estimate)

    @property
    def headline(self) -> str:
        return HEADLINES[self.level]


def verdict(rows: Sequence[Row]) -> Verdict:
    """The verdict that follows from the rows."""
    worst_case = worst(rows)
    if worst_case is None:
        return Verdict(UNKNOWN, (SCALE,))
    least, rate = worst_case
    where = f"{least.attack} {after(least)}, judged by {JUDGES[least.judged]}"
    case = f"Worst case tried: protection rate {percent(rate)}, {where}."
    sentences = [of_attack(rows, attack) for attack in dict.fromkeys(r.attack for r in rows)]
    return Verdict(level(least, rate, rows), (case, *sentences, SCALE), least, rate)


def level(least: Row, rate: Estimate, rows: Sequence[Row]) -> str:
    """The level of the verdict, from the worst case.

    The interval decides, not the value: its lower end for the protection, its upper end against it. A protection that
    did no more than random noise, against the same attacker without a countermeasure, is not shown to protect.
    """
    low, high = rate.low, rate.high
    if math.isnan(low):  # one photograph: nothing is known of others
        return UNDECIDED
    if high < LEAST:
        return NOT
    if not low > 0:
        return UNDECIDED
    over = [r.over_control for r in rows if r.attack == least.attack and plain(r)]
    if not all(o.low > 0 for o in over):
        return NOISE
    return HELD if low >= MOST else PARTLY


def plain(row: Row) -> bool:
    """Whether this is an attack on the protected pictures without a countermeasure."""
    return row.condition.kind == PROTECTED and row.condition.purify == NONE


def of_attack(rows: Sequence[Row], attack: str) -> str:
    """One sentence about one attacker: without a countermeasure, after each, and the control."""
    own_rows = [r for r in rows if r.attack == attack]
    tried = [r for r in own_rows if r.condition.kind == PROTECTED]
    if not any(r.rate.defined for r in tried):
        why = next((r.failed or r.rate.note for r in own_rows if r.failed or r.rate.note), "it failed")
        return f"{attack}: no rate ({why})."
    parts = [f"{percent(r.rate)} {after(r)}" for r in tried if r.rate.defined]
    judged = f", judged by {JUDGES[own_rows[0].judged]}" if own_rows[0].judged == ORIGINALS else ""
    noise = next((r for r in own_rows if r.condition.kind == CONTROL and r.rate.defined), None)
    control = f" Random noise of the same size gives {percent(noise.rate)}." if noise else ""
    return f"{attack}{judged}: protection rate {', '.join(parts)}.{control}"


def after(row: Row) -> str:
    return "without countermeasure" if row.condition.purify == NONE else f"after {row.condition.purify}"
