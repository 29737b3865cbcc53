"""Pictures in, a trained file out: shortcuts and rho, resumable, and a report of what was learnt."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from unlearnable.errors import UsageError
from unlearnable.ldu.amortise import RhoTrainer, attackers
from unlearnable.ldu.config import RhoConfig, ShortcutConfig
from unlearnable.ldu.method import TrajectoryShift
from unlearnable.ldu.phi import Phi, load_phi
from unlearnable.ldu.pictures import Pictures, load
from unlearnable.ldu.shift import Rho
from unlearnable.ldu.shortcut import Shortcut, fingerprint
from unlearnable.ldu.teach import ShortcutTrainer
from unlearnable.ldu.trajectory import Course
from unlearnable.models.base import Condition, Model
from unlearnable.models.finetune.checkpoint import Checkpoint, Progress, beside, carry_on, named, output
from unlearnable.models.finetune.texts import texts
from unlearnable.models.load import EMBEDDED, load_model
from unlearnable.parallel.workers import workers
from unlearnable.protection.adjust import adjusted, described
from unlearnable.protection.engine import Protection
from unlearnable.protection.strengths import protection
from unlearnable.registry import PAPER
from unlearnable.rng import normal

SAMPLES, MANY, FEW = 8, 64, (1, 2, 4, 8)


def train_shortcut(
    inputs: Sequence[str | Path],
    out: str | Path,
    *,
    model: Model | str = EMBEDDED,
    prompt: str = "a photo",
    settings: ShortcutConfig | None = None,
    seed: int = 0,
    recursive: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Train a shortcut of `model` on pictures and write it to the file `out`; returns a report.

    Captions: see `pictures.load`. `progress` gets (steps done, steps in all, loss). The state lies beside `out`
    during training: to resume, call it again, and it ends with the same bits. The report has, for 1, 2, 4 and 8
    steps, how far samples end from those of 64 DDIM steps, for plain DDIM and for the shortcut (spread of latents = 1).
    Raises UsageError, SetupError, PictureError where no picture can be read.
    """
    out, settings, started = output(out), settings or ShortcutConfig(), time.monotonic()
    model = load_model(model, **options) if isinstance(model, str) else model
    pictures = load(inputs, model.size, prompt, recursive)
    shortcut = Shortcut(model, settings.rank, seed)
    table, captions = texts(model, pictures.captions)
    teacher = ShortcutTrainer(shortcut, settings, captions, seed)
    store = Checkpoint(beside(out), identity("shortcut", model, pictures, asdict(settings), seed))

    def run(after: Any, steps: int) -> object:
        return teacher.run(pictures.latents(model), table, steps, after=after)

    carry_on(teacher, store, run, progress)
    facts = {"settings": asdict(settings), "pictures": len(pictures), "seed": seed}
    shortcut.save(out, **facts)
    report = facts | {"file": str(out), "model": model.name, "failed": pictures.failed}
    report["few steps"] = few_steps(model, Phi("shortcut", model, shortcut.step), pictures.captions[0], seed)
    return report | {"loss": teacher.losses[-1], "seconds": round(time.monotonic() - started, 1)}


def train_rho(
    inputs: Sequence[str | Path],
    out: str | Path,
    method: Protection,
    *,
    model: Model | str = EMBEDDED,
    prompt: str = "a photo",
    settings: RhoConfig | None = None,
    seed: int = 0,
    recursive: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Train rho of `method` (its route, objective, budget, transforms) on pictures and write it to the file `out`.

    As `train_shortcut`, captions and resuming included; each folder inside is one subject. Started by `accelerate
    launch`, the processes share each batch. The report has the loss on some of the pictures: clean, with random noise
    of the same budget, and as rho protects them. Raises UsageError, SetupError, PictureError where no picture can be
    read.
    """
    out, settings, started = output(out), settings or RhoConfig(), time.monotonic()
    crew = workers(settings.batch)
    if isinstance(model, str):
        model = load_model(model, **options | ({"device": crew.device} if crew.device else {}))
    pictures = load(inputs, model.size, prompt, recursive)
    shift = method.parameterisation
    if not isinstance(shift, TrajectoryShift):
        raise UsageError(f"{method.name} shifts no trajectories: use ldu")
    facts = {"prompt": prompt, "settings": asdict(settings), "budget": method.constraint.describe(), "seed": seed}
    facts["route"] = {name: value for name, value in asdict(shift.route).items() if name != "phi"}
    course = Course(shift.route, model, prompt)
    rho = Rho(model.latent_shape(model.size, model.size)[0], settings.width, seed).to(model.device)
    store = Checkpoint(beside(out), identity("rho", model, pictures, facts | {"method": described(method)}, seed))
    targets = attackers(model, pictures, prompt, settings, seed)
    trainer = RhoTrainer(method, course, rho, pictures, targets, settings, crew, seed)

    def run(after: Any, steps: int) -> object:
        return trainer.run(pictures.levels, Condition(), steps, after=after)

    carry_on(trainer, store, run, progress, crew.first)
    facts |= {"phi": course.phi.kind, "pictures": len(pictures), "attackers": len(targets)}
    report = facts | {"file": str(out), "model": model.name, "failed": pictures.failed}
    report["lambda"] = trainer.dual.value.flatten().tolist()
    if crew.first:
        rho.save(out, model, **facts)
        report["loss"] = effect(adjusted(method, start="rho", steps=0, rho=str(out)), model, pictures, prompt, seed)
    return report | {"seconds": round(time.monotonic() - started, 1)}


@torch.no_grad()
def few_steps(model: Model, phi: Phi, prompt: str, seed: int) -> dict[str, dict[int, float]]:
    """Root mean square distance of few-step samples to those of 64 DDIM steps from the same noise, by number."""
    plain, c = load_phi("ddim", model), model.condition([prompt])
    z = normal([str(i) for i in range(SAMPLES)], model.latent_shape(model.size, model.size), "few", seed)
    z = z.to(model.device)
    reference = plain(z, c, plain.times(MANY, 1.0))

    def miss(phi: Phi, k: int) -> float:
        return round(float((phi(z, c, phi.times(k, 1.0)) - reference).square().mean().sqrt() / reference.std()), 4)

    return {name: {k: miss(each, k) for k in FEW} for name, each in (("ddim", plain), (phi.kind, phi))}


def effect(method: Protection, model: Model, pictures: Pictures, prompt: str, seed: int) -> dict[str, float]:
    """Mean loss of the model as it is on some pictures: clean, with random noise of the same budget, and protected."""

    x = pictures.images(slice(SAMPLES), model.device)
    noise = replace(protection("random", PAPER), constraint=method.constraint)
    cases = {"clean": x, "random": noise(model, x, seed=seed), "rho": method(model, x, prompt=prompt, seed=seed)}
    return {name: round(float(method.evaluate(model, y, prompt=prompt).mean()), 4) for name, y in cases.items()}


def identity(kind: str, model: Model, pictures: Pictures, settings: dict[str, Any], seed: int) -> str:
    """Hex digest of all that decides what comes out."""
    return named(kind, fingerprint(model), str(model.amp), settings, seed, pictures.keys(), pictures.captions)
