"""Checkpoints of training runs: a killed run resumes with the same bits. They are safetensors, written atomically."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlearnable.errors import SetupError, UsageError, shown
from unlearnable.models.finetune.training import Trainer
from unlearnable.storage.atomic import check_writable, replacing

Progress = Callable[[int, int, float], None]  # steps done, steps in all, loss
EVERY = 30.0  # seconds between two writes
SHARE = 0.05  # at most this share of the time goes into writing: a large model's state takes long


@dataclass
class Checkpoint:
    """Writes a trainer's state at intervals; pass it to the trainer as `after`.

    `run` names the run (settings, pictures, model, seed): a file of another run is refused with a UsageError rather
    than overwritten. A finished run's file holds only the learned weights, without the optimiser's state.
    """

    path: Path
    run: str
    written: float = field(default_factory=time.monotonic)
    took: float = 0.0

    def __call__(self, trainer: Trainer) -> None:
        if time.monotonic() - self.written > max(EVERY, self.took / SHARE):
            self.save(trainer)

    def save(self, trainer: Trainer, finished: bool = False) -> None:
        started = time.monotonic()
        facts = {"run": self.run, "done": trainer.done, "losses": trainer.losses, "finished": finished}
        write(self.path, tensors(trainer, finished), facts)
        self.written = time.monotonic()
        self.took = self.written - started

    def load(self, trainer: Trainer) -> bool:
        """Restore a trainer from the file, if there is one; returns whether the run is finished."""
        if not self.path.is_file():
            return False
        saved, facts = read(self.path)
        if facts.get("run") != self.run:
            raise UsageError(
                f"{shown(self.path)} belongs to a training run with other settings, pictures or weights: delete it, "
                "or choose another place"
            )
        try:
            trainer.done, trainer.losses = facts["done"], facts["losses"]
            restore(trainer, saved)
            return bool(facts["finished"])
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            raise UsageError(f"{shown(self.path)} is no whole checkpoint of this training run: delete it") from error


def carry_on(
    trainer: Trainer,
    store: Checkpoint | None,
    run: Callable[[Any, int], object],
    progress: Progress | None,
    write: bool = True,
) -> None:
    """Train to the end from where the file left off, writing now and then, and when interrupted.

    `run` is called with what it has to call after each step, and the number of steps that are left. Without `store`
    nothing is kept; without `write` it is only read, and `progress` is told nothing.
    """
    steps, kept = trainer.settings.steps, store if write else None

    def after(trainer: Trainer) -> None:
        if kept:
            kept(trainer)
        if progress and write:
            progress(trainer.done, steps, trainer.losses[-1])

    if store and store.load(trainer):
        return
    try:
        run(after, steps - trainer.done)
    except torch.OutOfMemoryError as error:
        raise SetupError("the training does not fit into memory: use a smaller --batch or a smaller model") from error
    except KeyboardInterrupt:
        if trainer.between_steps and kept:
            kept.save(trainer)
        raise
    trainer.settle()
    if kept:
        kept.save(trainer, finished=True)


def beside(out: Path) -> Path:
    """Where the state of a training run lies that will write the file `out`."""
    return out.with_name(f"{out.stem}.training.safetensors")


def named(*facts: Any) -> str:
    """The name of a run: a hex digest of all that decides what comes out."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def tensors(trainer: Trainer, finished: bool) -> dict[str, Tensor]:
    """A trainer's learned weights and, unless it is finished, its optimiser's state and running average."""
    saved = {f"parameter.{i}": p.detach() for i, p in enumerate(trainer.parameters)}
    if finished:
        return saved
    saved |= {f"extra.{name}": value for name, value in trainer.extra().items()}
    for i, state in trainer.optimiser.state_dict()["state"].items():
        saved |= {f"optimiser.{i}.{name}": value for name, value in state.items()}
    if trainer.average:
        saved |= {f"average.{i}": p for i, p in enumerate(trainer.average.shadow_params)}
    return saved


@torch.no_grad()
def restore(trainer: Trainer, saved: dict[str, Tensor]) -> None:
    optimiser_state = trainer.optimiser.state_dict()
    for name, value in saved.items():
        kind, number, *rest = name.split(".")
        if kind == "parameter":
            trainer.parameters[int(number)].copy_(value)
        elif kind == "extra":
            trainer.extra()[number].copy_(value)
        elif kind == "optimiser":
            optimiser_state["state"].setdefault(int(number), {})[rest[0]] = value
        else:
            trainer.average.shadow_params[int(number)].copy_(value)
            trainer.average.optimization_step = trainer.done
    trainer.optimiser.load_state_dict(optimiser_state)


def output(path: str | Path) -> Path:
    """The file of weights that a training run is to write; UsageError or WriteError where that cannot be."""
    path = Path(path)
    if path.suffix != ".safetensors" or path.is_dir():
        raise UsageError(f"cannot write to {shown(path)}: name a file that ends with .safetensors")
    check_writable(path)
    return path


def write(path: Path, saved: dict[str, Tensor], facts: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    with replacing(path) as temporary:
        save_file({k: v.contiguous() for k, v in saved.items()}, temporary, {"facts": json.dumps(facts)})


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise UsageError(f"{shown(path)} is no checkpoint of a training run: delete it") from error
