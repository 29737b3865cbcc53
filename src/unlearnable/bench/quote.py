"""Quotes of committed results in documents: the text between two markers is made from a rows.json.

A document holds ``<!-- bench:NAME -->`` and ``<!-- /bench -->``; NAME is a budget of the results (its table over all
attackers), ``headline`` (``verdict``: its first sentence), ``methods`` (worst cases at every budget) or ``attackers``
(worst cases against each attacker at the headline's budget), ``run`` (which cells the results hold).
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from unlearnable.bench.findings import answer
from unlearnable.bench.page import everything, load, models, overall
from unlearnable.bench.rows import JSON, WAITING
from unlearnable.bench.sums import SHARED
from unlearnable.bench.tables import Line, Table
from unlearnable.errors import UsageError, shown, suggestion
from unlearnable.evaluation.figures import number, percent
from unlearnable.evaluation.rates import Estimate
from unlearnable.storage.atomic import write_text

MEASURED = (("psnr", ".1f"), ("perceptual", ".2f"))
MARKED = re.compile(r"(<!-- bench:(?P<name>\S+) -->\n)(?P<body>.*?)(<!-- /bench -->)", re.S)


def update(documents: Iterable[Path], results: Path, *, check: bool = False) -> list[Path]:
    """Renew the text between each document's markers; returns the documents that were stale.

    `results` is a folder that holds rows.json. With `check` nothing is written. Documents without markers need no
    results. Raises UsageError for a marker that names nothing in the results.
    """
    marked = {path: text for path in documents if MARKED.search(text := path.read_text(encoding="utf-8"))}
    rows = load(results)["rows"] if marked else []
    tables, stale = (everything(rows, models(rows)[0]) if rows else []), []
    for path, text in marked.items():
        now = renewed(text, tables, path)
        if now != text:
            stale.append(path)
            if not check:
                write_text(path, now)
    return stale


def renewed(text: str, tables: Sequence[Table], where: Path) -> str:
    """The document with the text between all markers made again."""
    return MARKED.sub(lambda match: f"{match[1]}{markdown(match['name'], tables, where)}\n{match[4]}", text)


def markdown(name: str, tables: Sequence[Table], where: Path) -> str:
    """The text for one marker."""
    first = overall(tables) if tables else []
    conclusion = answer(first)
    if name == "run":
        return tried(first)
    if name == "verdict":
        return f"**{conclusion.headline}**"
    if name == "headline":
        return "\n".join([f"**{conclusion.headline}**", "", *conclusion.sentences])
    if name == "methods":
        methods = dict.fromkeys(line.method for t in first for line in t.ranked)
        header = ["method", *(t.budget for t in first)]
        return grid(header, [[method, *(worst(t, method) for t in first)] for method in methods])
    if name == "attackers" and conclusion.table:
        budget, judged = conclusion.table.budget, conclusion.table.baseline.judged
        per_attacker = [t for t in tables if t.budget == budget and t.baseline.judged == judged]
        header = ["method", *(t.attack or "all together" for t in per_attacker)]
        return grid(
            header,
            [
                [named(conclusion.table, x), *(worst(t, x.method) for t in per_attacker)]
                for x in conclusion.table.ranked
            ],
        )
    by_budget = {t.budget: t for t in first}
    if name not in by_budget:
        names = ["headline", "verdict", "methods", "attackers", "run", *by_budget]
        raise UsageError(f"unknown marker bench:{name} in {shown(where)}: {suggestion(name, names)}")
    return of_budget(by_budget[name])


def of_budget(table: Table) -> str:
    """One table over all attackers, controls first."""
    purifies = table.baseline.purifies
    where = ["as they are" if p == "none" else p for p in purifies]
    header = ["method", *where, "mean", "worst case", "PSNR, dB", "distance", "s a picture"]
    rows = []
    for line in table.lines:
        ends = "**" if line is table.best else ""
        cells = [f"{number(line.cells[p].value)} %" if line.cells[p].defined else "–" for p in purifies]
        estimates = [number(e.value) + " %" if line.method in SHARED else share(e) for e in (line.mean, line.worst)]
        facts = [plain(line.fidelity.get(name, math.nan), digits) for name, digits in MEASURED]
        rates = [f"{ends}{rate}{ends}" for rate in estimates]
        rows.append([f"{ends}{named(table, line)}{ends}", *cells, *rates, *facts, plain(line.seconds, ".2g")])
    return grid(header, rows)


def named(table: Table, line: Line) -> str:
    """The method's name, with the number of its subjects where it lacks some."""
    part = line.method not in SHARED and not table.full(line)
    return f"{line.method} ({len(line.each)} of {len(table.learned)} subjects)" if part else line.method


def tried(tables: Sequence[Table]) -> str:
    """A table of the methods that have results, by budget, countermeasure, attacker and number of subjects."""
    done: dict[tuple[str, ...], dict[str, set[str]]] = {}
    for row in (row for t in tables for row in t.rows):
        methods = done.setdefault((row["budget"], row["purify"], row["attack"]), {})
        methods.setdefault(row["method"], set()).add(row["subject"])
    rows = []
    for where, methods in done.items():
        for count in sorted({len(subjects) for subjects in methods.values()}, reverse=True):
            names = [method for method, subjects in methods.items() if len(subjects) == count]
            rows.append([*where, ", ".join(names), str(count)])
    return grid(["budget", "countermeasure", "attacker", "methods", "subjects"], rows)


def kept(out: Path, results: Path) -> Path:
    """Write a run's rows as results to commit: without pictures, waiting cells and absolute paths."""
    content = load(out)
    content["study"]["data"] = relative(content["study"]["data"])
    content["command"] = shlex.join(relative(word) for word in shlex.split(content["command"]))
    content["rows"] = [row | {"protected": [], "samples": []} for row in content["rows"]]
    content["missing"] = [cell for cell in content["missing"] if cell["status"] != WAITING]
    path = results / JSON
    write_text(path, json.dumps(content, indent=0) + "\n")
    return path


def relative(text: str) -> str:
    """An absolute path made relative to the working folder; other text as it is."""
    return Path(os.path.relpath(text)).as_posix() if os.path.isabs(text) else text


def worst(table: Table, method: str) -> str:
    line = table.line(method)
    if not line or not line.worst.defined:
        return "–"
    return share(line.worst) + ("" if table.full(line) else f", {len(line.each)} of {len(table.learned)} subjects")


def share(e: Estimate) -> str:
    return percent(e) if e.defined else "–"


def plain(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "–"


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    ruler = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ruler, *rows))
