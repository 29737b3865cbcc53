"""Run an audit: attack the pictures under each condition and write a report. A repeated call resumes an audit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnable.auditing import defender as defending
from unlearnable.auditing import report
from unlearnable.auditing.facts import Audit, Facts, Objective
from unlearnable.auditing.settings import Settings
from unlearnable.auditing.tasks import Run, tasks
from unlearnable.errors import UsageError, shown
from unlearnable.evaluation.material import collect, conditions
from unlearnable.evaluation.pairs import Subject, subject
from unlearnable.evaluation.shifts import compare_pairs
from unlearnable.evaluation.store import Store
from unlearnable.inputs import path
from unlearnable.metrics.features import Features, features
from unlearnable.models.encoders.load import load
from unlearnable.models.load import load_model
from unlearnable.models.offline import going_offline
from unlearnable.storage.locks import alone

if TYPE_CHECKING:
    from unlearnable.models.base import Model

Progress = Callable[[float, int, str], None]
CELLS = "cells"


def audit(
    clean: str | Path,
    protected: str | Path,
    out: str | Path,
    settings: Settings | None = None,
    *,
    held_out: str | Path | None = None,
    model: Model | None = None,
    network: Features | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Attack pictures, clean and protected, and write ``report.html`` and ``report.json`` into the folder `out`.

    `clean` and `protected` are folders whose pictures pair by name, or two files. `held_out` is a folder of other clean
    photographs of the subject; without it about a third of the pairs are held out. `model` and `network` replace those
    that the settings name. `progress` is called with (cells done, cells in all, what is in work), with fractions. Every
    cell is kept under ``out/cells``, so that the same call resumes after an interruption, with the same result. The
    result has a sentence for each file that cannot be used. Raises UsageError where nothing can be compared, and
    SetupError where this machine lacks something.
    """
    config, tell = settings or Settings(), progress or (lambda done, total, what: None)
    config.check()
    clean, protected = path(clean, "clean folder"), path(protected, "protected folder")
    out, others = path(out, "report's folder"), path(held_out, "held-out folder") if held_out is not None else None
    chains = config.chains()
    apart(out, [clean, protected, *([others] if others else [])])
    pictures = subject(clean, protected, others)
    with alone(out), going_offline(config.offline):
        network = network or features(config.features, config.device)
        if model is None:
            options: dict[str, Any] = {
                "device": config.device,
                "dtype": config.dtype,
                "revision": config.revision,
                "offline": config.offline,
            }
            model = load_model(config.model, **options)
        attackers = {name: config.attacker(name, model) for name in config.attacks}
        ready = {name: chain.with_model(model) for name, chain in chains.items()}
        material = collect(pictures, model.size, config.seeds, network)
        run = Run(config, model, network, attackers, ready, material, Store(out / CELLS))
        tell(0, len(tasks(config, conditions(ready))), "countermeasures")
        pictures.problems += run.purify()
        todo = tasks(config, conditions(run.chains))
        for done, task in enumerate(todo):
            tell(done, len(todo), str(task))

            def within(step: int, steps: int, loss: float, before: int = done, what: str = str(task)) -> None:
                tell(before + step / (steps + 1), len(todo), what)

            run.do(task, within)
        tell(len(todo), len(todo), "encoders and report")
        defender = defending.defender(protected, pictures.train)
        command = config.command(clean, protected, out, others)
        return report.make(out, gather(run, pictures, defender), run, pictures, defender, command)


def gather(run: Run, pictures: Subject, defender: defending.Defender | None) -> Facts:
    """Collect the facts after all cells are done."""
    settings, material = run.settings, run.material
    encoders = load(settings.against, device=run.model.device, offline=settings.offline)
    seen_by = compare_pairs({p.name: (p.clean, p.protected) for p in pictures.train}, encoders)
    facts: dict[str, Any] = {
        "shifts": seen_by.shifts,
        "rows": tuple(run.rows()), "train": len(pictures.train), "held_out": len(pictures.held_out),
        "prompt": settings.prompt, "tokens": tuple(a.token for a in run.attackers.values()), "seeds": settings.seeds,
        "model": run.model.name, "large": run.model.large,
        "unchanged": tuple(row["name"] for row in material.fidelity if not row["linf"]),
    }  # fmt: skip
    if defender:
        recipe = defender.recipe
        facts |= {"broken": tuple(defending.broken(defender, pictures.train)), "method": recipe.method}
        facts |= {"defended_prompt": recipe.prompt, "defended_model": recipe.model}
        if recipe.model == run.model.name:
            seen = (material.clean.images, material.protected.images, material.controls[settings.seeds[0]].images)
            facts["objective"] = Objective(recipe.method, *[defending.objective(defender, run.model, x) for x in seen])
    return Facts(**facts)


def apart(out: Path, inputs: list[Path]) -> None:
    """Raise UsageError where the report would lie among the pictures: the next audit would read its files as input."""
    for source in inputs:
        if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
            raise UsageError(f"the report {shown(out)} would lie in {shown(source)}, an input: choose another folder")
