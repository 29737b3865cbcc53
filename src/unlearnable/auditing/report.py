"""The files that an audit writes: report.json with every figure, and report.html for people."""

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


def make(out: Path, facts: Facts, run: Run, pictures: Subject, defender: Defender | None, command: str) -> Audit:
    """Write both files into `out`; the page is made from the JSON's content and the pictures."""
    figures = content(facts, run, pictures, defender, command)
    report = finite(figures)
    write_text(out / JSON, json.dumps(report, indent=1, allow_nan=False) + "\n")
    write_text(out / PAGE, page.render(report, facts, run, pictures))
    return Audit(out / PAGE, out / JSON, report, tuple(pictures.problems))


def content(facts: Facts, run: Run, pictures: Subject, defender: Defender | None, command: str) -> dict[str, Any]:
    """The content of report.json. Only ``run`` differs when the same audit is repeated."""
    conclusion, settings = verdict(facts.rows), run.settings
    used = [(name, "attacker") for name in settings.attacks]
    used += [(link, "purifier") for chain in run.chains.values() for link, _ in chain.links]
    used = ([(defender.recipe.method, "method")] if defender else []) + used
    return {
        "verdict": {
            "level": conclusion.level, "headline": conclusion.headline, "sentences": conclusion.sentences,
            "worst": conclusion.worst and line(conclusion.worst), "rate": conclusion.worst and asdict(conclusion.rate),
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
        "defender": defender and asdict(defender.recipe) | {"budget": defender.budget},
        "settings": asdict(settings),
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
    """A row as JSON; `rate` and `over_control` are those on the photographs that judge it."""
    fields = asdict(row) | {"rate": asdict(row.rate), "over_control": asdict(row.over_control)}
    condition = fields.pop("condition")
    return {"attack": fields.pop("attack"), "condition": condition["kind"], "purify": condition["purify"]} | fields


def cost(run: Run, name: str) -> dict[str, Any]:
    """How much a countermeasure changes the pictures: PSNR to the clean ones, at the model's size."""
    material, seed = run.material, run.settings.seeds[0]
    return {
        "name": name,
        "psnr of clean": distance(run.seen(Condition(CLEAN, name), seed), material.clean),
        "psnr of protected": distance(run.seen(Condition(PROTECTED, name), seed), material.clean),
    }


def distance(pictures: Pictures, clean: Pictures) -> float:
    return float(psnr(pictures.images, clean.images).mean())
