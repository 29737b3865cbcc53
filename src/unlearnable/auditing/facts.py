"""All facts of an audit in one place; checks, verdict and page read them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearnable.evaluation.rates import Row
from unlearnable.evaluation.shifts import Shift


@dataclass(frozen=True)
class Objective:
    """Means of the defender's objective on the pictures that attackers train on, under the audit's model."""

    method: str
    clean: float
    protected: float
    control: float


@dataclass(frozen=True)
class Facts:
    """The facts of one audit. Those that come from the journal beside the protected files are None without one.

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
    """A finished audit: `report` is the content of report.json, `problems` has a sentence for each file left out."""

    page: Path
    json: Path
    report: dict[str, Any]
    problems: tuple[str, ...] = ()
