"""report.html: one self-contained file, made from the report and its pictures by `page.html.j2`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnable.auditing.facts import Facts
from unlearnable.auditing.shots import drawn, glance, twins
from unlearnable.auditing.verdict import JUDGES
from unlearnable.evaluation.html import environment
from unlearnable.evaluation.material import CONTROL, PROTECTED
from unlearnable.evaluation.pairs import Subject
from unlearnable.evaluation.rates import Row

if TYPE_CHECKING:
    from unlearnable.auditing.tasks import Run

PAIRS = 6  # shown; all are measured


def render(report: dict[str, Any], facts: Facts, run: Run, pictures: Subject) -> str:
    """The whole page as text."""
    shown = pictures.train[:PAIRS]
    return environment(Path(__file__).parent).get_template("page.html.j2").render(
        r=report, rows=facts.rows, judges=JUDGES, chart=ranked(facts.rows),
        glance=glance(facts, run, pictures), pairs=[(p.name, twins(p, i, run)) for i, p in enumerate(shown)],
        attacks=[(name, drawn(name, facts, run)) for name in run.settings.attacks], total=len(pictures.train),
        network=run.network.name,
    )  # fmt: skip


def ranked(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """The chart's rows of each attacker: its attacks on the protected pictures, worst case first, then the control.

    The attacker that learned most comes first; one whose rates are undefined comes last.
    """

    def rank(row: Row) -> float:
        return row.rate.value if row.rate.defined else math.inf

    groups = []
    for attack in dict.fromkeys(row.attack for row in rows):
        own_rows = [row for row in rows if row.attack == attack]
        tried = sorted((row for row in own_rows if row.condition.kind == PROTECTED), key=rank)
        groups.append((attack, [*tried, *(row for row in own_rows if row.condition.kind == CONTROL)]))
    return sorted(groups, key=lambda group: rank(group[1][0]) if group[1] else math.inf)
