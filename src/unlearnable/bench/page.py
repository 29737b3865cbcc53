"""A benchmark's report.html, table.csv and table.parquet, made from its rows.json and pictures."""

from __future__ import annotations

import itertools
import json
import math
import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from unlearnable import registry
from unlearnable.bench import export
from unlearnable.bench.findings import answer, checks
from unlearnable.bench.plots import curves, multiples
from unlearnable.bench.samples import sheets
from unlearnable.bench.study import CONTROLS, RANDOM
from unlearnable.bench.sums import HELD_OUT, OWN, SHARED, Row
from unlearnable.bench.tables import KINDS, MATCHED, Table, Variant, attacks, budgets, judge, kind, table, variants
from unlearnable.errors import UsageError, shown
from unlearnable.evaluation.html import environment
from unlearnable.evaluation.sources import Source, sources
from unlearnable.storage.atomic import write_text

ROWS, PAGE = "rows.json", "report.html"
JUDGES = {HELD_OUT: "photographs that no attacker saw", OWN: "the clean originals of what attackers trained on"}
LISTED = 60  # groups of missing cells; all are in rows.json


def write(out: Path) -> Path:
    """Read `out`/rows.json, write report.html, table.csv and table.parquet beside it; returns the page's path.

    Raises UsageError where there are no rows, WriteError where the disk does not take the files, and SetupError, after
    all else is written, where pyarrow is absent.
    """
    study = load(out)
    by_model = [everything(study["rows"], model) for model in models(study["rows"])]
    write_text(out / PAGE, render(study, by_model, out))
    flat = [t for tables in by_model for t in tables]
    export.csv(flat, out / "table.csv")
    export.parquet(flat, out / "table.parquet")
    return out / PAGE


def load(out: Path) -> dict[str, Any]:
    """A benchmark's rows.json; UsageError where it is absent or not whole."""
    try:
        study: dict[str, Any] = json.loads((out / ROWS).read_text(encoding="utf-8"))
        rows = study["rows"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = "make one with `unlearnable bench run`"
        raise UsageError(f"{shown(out)} holds no {ROWS} of a benchmark: {remedy}") from error
    empty = {"study": {}, "command": "", "machine": "", "versions": {}, "missing": []}
    return empty | study | {"rows": [{"prompt": "", "defender": r["model"], "share": 1.0} | r for r in rows]}


def models(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(r["model"] for r in rows))


def everything(rows: Sequence[Row], model: str) -> list[Table]:
    """All tables of a model: each budget over all attackers, then against each one; first by the usual judge."""
    first, names = judge(rows, model), attacks(rows, model)
    both = (first, OWN if first == HELD_OUT else HELD_OUT)
    grid = itertools.product(both, budgets(rows, model), ["", *names] if len(names) > 1 else names)
    tables = [table(rows, model, budget, attack, judged) for judged, budget, attack in grid]
    return [t for t in tables if t.rows]


def overall(tables: Sequence[Table]) -> list[Table]:
    """The tables over all attackers (or of the only one) with the judge of the first table."""
    same_judge = [t for t in tables if t.baseline.judged == tables[0].baseline.judged]
    return [t for t in same_judge if t.attack == tables[0].attack]


def render(study: Mapping[str, Any], by_model: Sequence[Sequence[Table]], out: Path) -> str:
    """The page as text; `by_model` holds the tables of each model."""
    rows = study["rows"]
    first = [t for tables in by_model if tables for t in overall(tables)]
    conclusion = answer(first)
    chart, drawable = conclusion.table, find_spec("matplotlib") is not None
    drawer = learner(chart, rows) if chart else ""
    return environment(Path(__file__).parent).get_template("page.html.j2").render(
        study=study, answer=conclusion, chart=chart, kinds=KINDS, judges=JUDGES, random=RANDOM, shared=SHARED,
        checks=checks(study, first, chart), finite=math.isfinite, controls=(*SHARED, *CONTROLS),
        sections=[section(rows, tables) for tables in by_model if tables],
        plots=[(t[0].model, *curve) for t in by_model if t and drawable for curve in curves(overall(t))],
        multiples=multiples(chart) if chart and drawable else "",
        sheets=sheets(out, chart, rows, drawer) if chart else [], learner=drawer,
        papers=papers(rows), missing=grouped(study["missing"]), listed=LISTED, cited=cited(rows),
        unlearned=by_attack(first),
    )  # fmt: skip


def section(rows: Sequence[Row], tables: Sequence[Table]) -> dict[str, Any]:
    """The template's values for one model."""
    first, model = overall(tables), tables[0].model
    same_judge = [t for t in tables if t.baseline.judged == tables[0].baseline.judged]
    titled = [(t, "At equal fidelity" if kind(t.budget) in MATCHED else "At an equal budget") for t in first]
    blocks = {
        title: [(t, each(t, same_judge)) for t, name in titled if name == title]
        for title in dict.fromkeys(n for _, n in titled)
    }
    others = [t for t in tables if t not in same_judge and t.attack == tables[0].attack]
    return {
        "model": model, "judged": tables[0].baseline.judged, "blocks": blocks,
        "others": others, "first": first, "variants": [(v, elsewhere(rows, first, v)) for v in variants(rows, model)],
    }  # fmt: skip


def each(whole: Table, tables: Sequence[Table]) -> list[Table]:
    """The tables of single attackers at the budget of one over all of them."""
    return [t for t in tables if t.budget == whole.budget and t is not whole]


def elsewhere(rows: Sequence[Row], first: Sequence[Table], variant: Variant) -> list[Table]:
    """The tables of another prompt, defender or share, at the budgets at which it was tried."""
    tried = [table(rows, t.model, t.budget, t.attack, t.baseline.judged, variant) for t in first]
    return [t for t in tried if t.rows]


def learner(chart: Table, rows: Sequence[Row]) -> str:
    """The attacker that learned the clean pictures best; the page shows what it drew."""
    gains: dict[str, float] = defaultdict(float)
    for (_, attack, _, _), (_, gain) in chart.baseline.gains.items():
        gains[attack] += gain
    return max(gains, key=lambda name: gains[name], default=next(iter(attacks(rows, chart.model)), ""))


def papers(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The entries of papers.toml on methods that these rows hold."""
    methods = {r["method"].partition(":")[0] for r in rows}
    entries = tomllib.loads(Path(__file__).with_name("papers.toml").read_text(encoding="utf-8"))["paper"]
    return [paper for paper in entries if methods & set(paper["methods"])]


def cited(rows: Sequence[Row]) -> list[Source]:
    """The papers of the methods, attackers and countermeasures whose labels are names in the registry."""
    links = [link for r in rows for link in r["purify"].split("+")]
    used = dict.fromkeys(
        [(r["method"].partition(":")[0], "method") for r in rows] + [(r["attack"], "attacker") for r in rows]
        + [(link.partition(":")[0], "purifier") for link in links]
    )  # fmt: skip
    return sources((name, sort) for name, sort in used if name in registry.names(sort))


def grouped(missing: Sequence[Mapping[str, Any]]) -> list[tuple[dict[str, str], int]]:
    """Missing cells, grouped where only the subject differs: what a group shares, and how many cells it has."""
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = defaultdict(list)
    names = ("status", "method", "budget", "attack", "purify")
    for cell in missing:
        groups[tuple(str(cell.get(name) or "") for name in names)].append(cell)
    return [
        (dict(zip(names, key)) | {"subjects": ", ".join(dict.fromkeys(str(c.get("subject")) for c in cells)),
         "message": next((str(c["message"]) for c in cells if c.get("message")), "")}, len(cells))
        for key, cells in groups.items()
    ]  # fmt: skip


def by_attack(tables: Sequence[Table]) -> list[tuple[str, str, str]]:
    """Clean cells that an attacker did not learn: "attacker on model", subject, countermeasures with their gains."""
    cells: dict[tuple[str, str], list[str]] = defaultdict(list)
    for t in {t.model: t for t in tables}.values():
        for cell in t.baseline.unlearned:
            cells[f"{cell.attack} on {t.model}", cell.subject].append(f"{cell.purify} ({100 * cell.gain:.2g} %)")
    return [(attack, subject, ", ".join(texts)) for (attack, subject), texts in cells.items()]
