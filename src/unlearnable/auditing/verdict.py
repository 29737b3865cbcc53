"""The verdict in plain words: the worst case first, never a guarantee."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from unlearnable.auditing.material import CONTROL, PROTECTED
from unlearnable.auditing.rates import Estimate, Row, worst
from unlearnable.auditing.settings import NONE

MOST, LEAST = 0.75, 0.25
SCALE = (
    "0 % means learned as from clean pictures, 100 % learned nothing. Other attackers, models, prompts and "
    "countermeasures may do better than these: this is a measurement, not a guarantee."
)
NO_VERDICT = (
    "No verdict: no attacker learned the subject from the clean pictures, so none of this tests the protection."
)


@dataclass(frozen=True)
class Verdict:
    """`headline` is the worst case, `sentences` the rest; `worst` is its row, None where there is no verdict."""

    headline: str
    sentences: tuple[str, ...]
    worst: Row | None = None


def verdict(rows: Sequence[Row]) -> Verdict:
    """What the rows say about the protection."""
    least = worst(rows)
    if least is None:
        return Verdict(NO_VERDICT, (SCALE,))
    headline = f"Worst case tried: protection rate {percent(least.rate)}, {least.attack} {after(least)}."
    each = [of_attack(rows, attack) for attack in dict.fromkeys(r.attack for r in rows)]
    return Verdict(headline, (meaning(least.rate), *each, SCALE), least)


def of_attack(rows: Sequence[Row], attack: str) -> str:
    """One sentence about one attacker: without a countermeasure, after each, and the control."""
    mine = [r for r in rows if r.attack == attack]
    tried = [r for r in mine if r.condition.kind == PROTECTED]
    if not any(r.rate.defined for r in tried):
        why = next((r.failed or r.rate.note for r in mine if r.failed or r.rate.note), "it failed")
        return f"{attack}: no rate ({why})."
    parts = [f"{percent(r.rate)} {after(r)}" for r in tried if r.rate.defined]
    noise = next((r for r in mine if r.condition.kind == CONTROL and r.rate.defined), None)
    control = f" Random noise of the same size gives {percent(noise.rate)}." if noise else ""
    return f"{attack}: protection rate {', '.join(parts)}.{control}"


def after(row: Row) -> str:
    return "without countermeasure" if row.condition.purify == NONE else f"after {row.condition.purify}"


def meaning(rate: Estimate) -> str:
    """What a rate says about the attacker. Only the interval's lower end may speak for the protection."""
    sure = rate.value if math.isnan(rate.low) else rate.low
    if sure >= MOST:
        return "This attacker learned little of the subject."
    if rate.value <= 0:
        return "This attacker learned the subject at least as well as from clean pictures."
    if rate.value < LEAST:
        return "This attacker learned the subject nearly as well as from clean pictures."
    return "This attacker learned part of the subject."


def percent(rate: Estimate) -> str:
    """A rate for people: ``62 % (41 to 80)``."""
    if not rate.defined:
        return "undefined"
    if math.isnan(rate.low):
        return f"{number(rate.value)} % (no interval)"
    return f"{number(rate.value)} % ({number(rate.low)} to {number(rate.high)})"


def number(share: float) -> str:
    """Whole per cent with a true minus sign; a dash where undefined."""
    if math.isnan(share):
        return "–"
    whole = "∞" if math.isinf(share) else str(abs(round(100 * share)))
    return f"−{whole}" if share < 0 and whole != "0" else whole
