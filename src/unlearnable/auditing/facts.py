"""All that an audit found out, in one place: what checks doubt, the verdict says and the page shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearnable.evaluation.rates import Row
from unlearnable.evaluation.shifts import Shift


@dataclass(frozen=True)
class Objective:
    """What the defender's method raises, on the pictures that attackers train on: means under the audit's model."""

    method: str
    clean: float
    protected: float
    control: float


@dataclass(frozen=True)
class Facts:
    """Of one audit. What the journal beside the protected files would know is None where there is none.

    `train` and `held_out` count photographs; `unchanged` and `broken` name protected files that equal their clean twin,
    or break their budget (None: no budget is known). `shifts` say how far encoders' latents are moved.
    """

    rows: tuple[Row, ...]
    train: int
    held_out: int
    prompt: str
    tokens: tuple[str, ...]
    seeds: tuple[int, ...]
    model: str
    large: bool
    unchanged: tuple[str, ...] = ()
    broken: tuple[str, ...] | None = None
    method: str | None = None
    defended_prompt: str | None = None
    defended_model: str | None = None
    objective: Objective | None = None
    shifts: tuple[Shift, ...] = ()


@dataclass(frozen=True)
class Audit:
    """An audit that is done: `report` is what report.json holds, `problems` a sentence for each file left out."""

    page: Path
    json: Path
    report: dict[str, Any]
    problems: tuple[str, ...] = ()
