"""report.html: one file that needs nothing else, made from the report and its pictures by `page.html.j2`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from unlearnable.auditing.facts import Facts
from unlearnable.auditing.material import CONTROL, PROTECTED
from unlearnable.auditing.pairs import Subject
from unlearnable.auditing.rates import Estimate, Row
from unlearnable.auditing.shots import drawn, glance, twins
from unlearnable.auditing.verdict import JUDGES, LEAST, MOST, number, percent

if TYPE_CHECKING:
    from unlearnable.auditing.tasks import Run

PAIRS = 6  # shown; all are measured
INTERVAL = re.compile(r" %(?: \(\S+ to \S+\))?")
LEFT, RIGHT = -0.25, 1.25  # of the scale that rates are drawn on


def render(report: dict[str, Any], facts: Facts, run: Run, pictures: Subject) -> str:
    """The whole page as text."""
    shown = pictures.train[:PAIRS]
    return environment().get_template("page.html.j2").render(
        r=report, rows=facts.rows, judges=JUDGES, chart=ranked(facts.rows),
        glance=glance(facts, run, pictures), pairs=[(p.name, twins(p, i, run)) for i, p in enumerate(shown)],
        attacks=[(name, drawn(name, facts, run)) for name in run.settings.attacks], total=len(pictures.train),
        network=run.network.name,
    )  # fmt: skip


def environment(*folders: Path) -> Environment:
    """Where pages are made: templates of some folders, then this one's (its style, its parts), and the filters."""
    loader = FileSystemLoader([*folders, Path(__file__).parent])
    env = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    env.filters |= {
        "percent": percent, "number": number, "figure": figure, "spread": spread, "ends": ends, "tidy": tidy
    }  # fmt: skip
    env.globals["bar"] = bar
    return env


def ranked(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """What is charted of each attacker: its attacks on the protected pictures, worst case first, then the control.

    The attacker that got most comes first; one whose rates are undefined comes last.
    """

    def rank(row: Row) -> float:
        return row.rate.value if row.rate.defined else math.inf

    found = []
    for attack in dict.fromkeys(row.attack for row in rows):
        mine = [row for row in rows if row.attack == attack]
        tried = sorted((row for row in mine if row.condition.kind == PROTECTED), key=rank)
        found.append((attack, [*tried, *(row for row in mine if row.condition.kind == CONTROL)]))
    return sorted(found, key=lambda group: rank(group[1][0]) if group[1] else math.inf)


def bar(rate: Estimate) -> dict[str, float]:
    """Where a rate and its interval lie on a scale of 100 units."""

    def place(share: float) -> float:
        return round(100 * (min(max(share, LEFT), RIGHT) - LEFT) / (RIGHT - LEFT), 1)

    low, high = (rate.value if math.isnan(end) else end for end in (rate.low, rate.high))
    at = {"value": rate.value, "low": low, "high": high, "none": 0, "little": LEAST, "much": MOST, "all": 1}
    return {name: place(share) for name, share in at.items()}


def figure(value: float | None) -> str:
    """Three digits, or a dash."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.3g}".replace("-", "−")


def spread(estimate: Estimate) -> str:
    """An interval, three digits each."""
    return "no interval" if math.isnan(estimate.low) else f"{figure(estimate.low)} to {figure(estimate.high)}"


def ends(rate: Estimate) -> str:
    """A rate's interval in per cent."""
    return "no interval" if math.isnan(rate.low) else f"{number(rate.low)} to {number(rate.high)}"


def tidy(text: str) -> str:
    """No line break within a rate and its interval."""
    return INTERVAL.sub(lambda found: found[0].replace(" ", "\u00a0"), text)
