"""What an audit leaves behind: report.json with every figure, and report.html for people."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnable.auditing import page
from unlearnable.auditing.checks import findings, unmade
from unlearnable.auditing.defender import Defender
from unlearnable.auditing.facts import Audit, Facts
from unlearnable.auditing.verdict import verdict
from unlearnable.errors import shown
from unlearnable.evaluation.attack import Pictures
from unlearnable.evaluation.machine import machine
from unlearnable.evaluation.material import CLEAN, PROTECTED, Condition
from unlearnable.evaluation.pairs import Subject
from unlearnable.evaluation.rates import Row
from unlearnable.evaluation.shifts import summary
from unlearnable.evaluation.sources import sources
from unlearnable.evaluation.store import finite
from unlearnable.metrics.fidelity import psnr
from unlearnable.storage.atomic import write_text
from unlearnable.storage.journal import stamp

if TYPE_CHECKING:
    from unlearnable.auditing.tasks import Run

JSON, PAGE = "report.json", "report.html"


def make(out: Path, facts: Facts, run: Run, pictures: Subject, known: Defender | None, command: str) -> Audit:
    """Write both files into `out`; the page is made from the JSON's content and the pictures."""
    found = content(facts, run, pictures, known, command)
    whole = finite(found)
    write_text(out / JSON, json.dumps(whole, indent=1, allow_nan=False) + "\n")
    write_text(out / PAGE, page.render(whole, facts, run, pictures))
    return Audit(out / PAGE, out / JSON, whole, tuple(pictures.problems))


def content(facts: Facts, run: Run, pictures: Subject, known: Defender | None, command: str) -> dict[str, Any]:
    """Every figure. `run` alone differs when the same audit is made again."""
    said, s = verdict(facts.rows), run.settings
    used = [(name, "attacker") for name in s.attacks]
    used += [(link, "purifier") for chain in run.chains.values() for link, _ in chain.links]
    used = ([(known.recipe.method, "method")] if known else []) + used
    return {
        "verdict": {
            "level": said.level, "headline": said.headline, "sentences": said.sentences,
            "worst": said.worst and line(said.worst), "rate": said.worst and asdict(said.rate),
        },
        "encoders": {"summary": summary(facts.shifts), "shifts": [asdict(shift) for shift in facts.shifts]},
        "rows": [line(row) for row in facts.rows],
        "checks": [asdict(finding) | {"see": finding.see} for finding in findings(facts)],
        "not_checked": unmade(facts),
        "fidelity": run.material.fidelity,
        "countermeasures": [cost(run, name) for name in run.chains],
        "objective": facts.objective and asdict(facts.objective),
        "subject": {
            "train": [
                {"name": p.name, "clean": shown(p.clean), "protected": shown(p.protected)} for p in pictures.train
            ],
            "held_out": [{"name": p.name, "path": shown(p.path)} for p in pictures.held_out],
            "notes": pictures.notes, "problems": pictures.problems,
        },
        "defender": known and asdict(known.recipe) | {"budget": known.budget},
        "settings": asdict(s),
        "attackers": {name: asdict(attacker) for name, attacker in run.attackers.items()},
        "model": {
            "name": shown(run.model.name), "family": run.model.family, "size": run.model.size,
            "device": str(run.model.device), "amp": str(run.model.amp), "features": run.network.name,
        },
        "cells": [{k: v for k, v in cell.items() if k != "seconds"} for cell in run.cells],
        "sources": [asdict(source) for source in sources(used)],
        "command": shown(command),
        "run": stamp() | {
            "seconds": round(sum(cell["seconds"] for cell in run.cells), 1), "machine": machine(),
            "seconds by cell": {cell["cell"]: cell["seconds"] for cell in run.cells},
        },
    }  # fmt: skip


def line(row: Row) -> dict[str, Any]:
    """A row as JSON; `rate` and `over_control` are those of the photographs that it is judged by."""
    found = asdict(row) | {"rate": asdict(row.rate), "over_control": asdict(row.over_control)}
    condition = found.pop("condition")
    return {"attack": found.pop("attack"), "condition": condition["kind"], "purify": condition["purify"]} | found


def cost(run: Run, name: str) -> dict[str, Any]:
    """What a countermeasure does to the pictures: PSNR to the clean ones, at the model's size."""
    m, seed = run.material, run.settings.seeds[0]
    return {
        "name": name,
        "psnr of clean": distance(run.seen(Condition(CLEAN, name), seed), m.clean),
        "psnr of protected": distance(run.seen(Condition(PROTECTED, name), seed), m.clean),
    }


def distance(pictures: Pictures, clean: Pictures) -> float:
    return float(psnr(pictures.images, clean.images).mean())
