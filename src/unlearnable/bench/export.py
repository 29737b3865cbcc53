"""A benchmark's tables in long form, one line for each figure: as CSV, and as Parquet where pyarrow is installed."""

from __future__ import annotations

import csv as text
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unlearnable.bench.tables import FIDELITY, Line, Table
from unlearnable.errors import SetupError, shown
from unlearnable.storage.atomic import replacing, write_text

MEAN, WORST, OVER = "mean", "worst case", "worst case above random"
ALL = "all"
EMPTY: dict[str, Any] = {
    "model": "", "judged_by": "", "budget": "", "attack": "", "method": "", "countermeasure": "", "rate": 0.0,
    "low": 0.0, "high": 0.0, "subjects": 0, **dict.fromkeys(FIDELITY, 0.0), "seconds": 0.0, "own_loss_fell": 0.0,
    "similarity": 0.0,
}  # fmt: skip


def records(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """A record for each rate: countermeasures, their mean, the worst case, and the worst case above random noise.

    Rates and intervals are shares (1: the attacker learned nothing); None where there is no value.
    """
    return [record for t in tables for line in t.lines for record in of_line(t, line)]


def of_line(table: Table, line: Line) -> list[dict[str, Any]]:
    rates = {**line.cells, MEAN: line.mean, WORST: line.worst, OVER: line.over}
    facts = {name: line.fidelity.get(name, math.nan) for name in FIDELITY}
    return [
        {
            "model": table.model, "judged_by": table.baseline.judged, "budget": table.budget,
            "attack": table.attack or ALL, "method": line.method, "countermeasure": name,
            "rate": or_none(e.value), "low": or_none(e.low), "high": or_none(e.high), "subjects": len(line.each),
            **{key: or_none(x) for key, x in facts.items()}, "seconds": or_none(line.seconds),
            "own_loss_fell": or_none(line.learned), "similarity": or_none(line.similarity),
        }
        for name, e in rates.items()
    ]  # fmt: skip


def or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def csv(tables: Sequence[Table], path: Path) -> None:
    """Write the records as CSV; an absent value is an empty field."""
    page = io.StringIO()
    writer = text.DictWriter(page, list(EMPTY), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records(tables))
    write_text(path, page.getvalue())


def parquet(tables: Sequence[Table], path: Path) -> None:
    """Write the records as Parquet. Raises SetupError where pyarrow is absent."""
    try:
        import pyarrow
        from pyarrow import parquet as format
    except ImportError as error:
        remedy = "pip install 'unlearnable[bench]' (table.csv holds the same)"
        raise SetupError(f"{shown(path)} needs pyarrow: {remedy}") from error
    kinds = {str: pyarrow.string(), float: pyarrow.float64(), int: pyarrow.int64()}
    schema = pyarrow.schema([(name, kinds[type(value)]) for name, value in EMPTY.items()])
    with replacing(path) as temporary:
        format.write_table(pyarrow.Table.from_pylist(records(tables), schema=schema), temporary)
