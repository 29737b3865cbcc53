"""``rows.json``: a row for each finished point of a benchmark, and the missing points with the reason."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from unlearnable.bench.plan import Line
from unlearnable.bench.study import Study
from unlearnable.evaluation.machine import processor
from unlearnable.evaluation.store import Cell, Store
from unlearnable.storage.journal import stamp

JSON = "rows.json"
WAITING = "waiting"
NAMES = ("model", "subject", "method", "budget", "purify", "attack", "prompt", "share", "seed")

Result = Mapping[str, Any]


def row(line: Line, cell: Cell, attack: Result, pictures: Result | None, store: Store) -> dict[str, Any]:
    """The row of a finished point. `pictures` is the result of the cell that made the attacker's pictures, if any."""
    protection = pictures or {}
    before, after = attack.get("own_before"), attack.get("own_after")

    def paths(of: Cell, result: Result) -> list[str]:
        return [path.relative_to(store.folder.parent).as_posix() for path in store.pictures(of, dict(result))]

    return {"cell": cell.key, "kind": line.kind} | vars(line.point) | {
        "held_out": attack["held_out"], "own": attack["own"],
        "trained": None if line.pictures is None else {"before": before, "after": after},
        "similarity": attack["similarity"],
        "fidelity": protection.get("fidelity"),
        "seconds": {"protect": protection.get("seconds each"), "attack": attack["seconds"]},
        "protected": paths(line.pictures, protection) if line.pictures and pictures else [],
        "samples": paths(cell, attack),
    }  # fmt: skip


def missing(line: Line, why: Mapping[str, str] | None) -> dict[str, Any]:
    labels = {name: getattr(line.point, name) for name in (*NAMES, "defender")}
    return labels | {"status": WAITING, "message": ""} | dict(why or {})


def content(study: Study, command: str, rows: list[dict[str, Any]], left: list[dict[str, Any]]) -> dict[str, Any]:
    """The content of ``rows.json``."""
    return {
        "study": study.facts(), "command": command, "machine": f"{os.cpu_count()} cores of {processor()}",
        "versions": stamp()["versions"], "rows": rows, "missing": left,
    }  # fmt: skip
