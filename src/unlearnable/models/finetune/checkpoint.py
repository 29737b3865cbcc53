"""A training run on disk, so that one that was killed goes on with the same bits: safetensors, whole or not there."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlearnable.errors import UsageError, shown
from unlearnable.models.finetune.training import Trainer
from unlearnable.storage.atomic import replacing

EVERY = 30.0  # seconds between two writes
SHARE = 0.05  # of the time goes into writing at most: a large model's state takes long


@dataclass
class Checkpoint:
    """Writes a trainer's state now and then; use it as the trainer's `after`.

    `run` names the run (settings, pictures, model, seed): a file of another run is refused with a UsageError rather
    than overwritten. A finished run's file holds only what was learned, without the optimiser's state.
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
        """Bring a trainer to where the file left off, if there is one; whether the run is finished."""
        if not self.path.is_file():
            return False
        found, facts = read(self.path)
        if facts.get("run") != self.run:
            raise UsageError(
                f"{shown(self.path)} belongs to a training run with other settings, pictures or weights: delete it, "
                "or choose another place"
            )
        try:
            trainer.done, trainer.losses = facts["done"], facts["losses"]
            restore(trainer, found)
            return bool(facts["finished"])
        except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            raise UsageError(f"{shown(self.path)} is no whole checkpoint of this training run: delete it") from error


def tensors(trainer: Trainer, finished: bool) -> dict[str, Tensor]:
    """What a trainer has learned and, unless it is finished, its optimiser's state and running average."""
    kept = {f"parameter.{i}": p.detach() for i, p in enumerate(trainer.parameters)}
    if finished:
        return kept
    kept |= {f"extra.{name}": value for name, value in trainer.extra().items()}
    for i, state in trainer.optimiser.state_dict()["state"].items():
        kept |= {f"optimiser.{i}.{name}": value for name, value in state.items()}
    if trainer.average:
        kept |= {f"average.{i}": p for i, p in enumerate(trainer.average.shadow_params)}
    return kept


@torch.no_grad()
def restore(trainer: Trainer, found: dict[str, Tensor]) -> None:
    whole = trainer.optimiser.state_dict()
    for name, value in found.items():
        kind, number, *rest = name.split(".")
        if kind == "parameter":
            trainer.parameters[int(number)].copy_(value)
        elif kind == "extra":
            trainer.extra()[number].copy_(value)
        elif kind == "optimiser":
            whole["state"].setdefault(int(number), {})[rest[0]] = value
        else:
            trainer.average.shadow_params[int(number)].copy_(value)
            trainer.average.optimization_step = trainer.done
    trainer.optimiser.load_state_dict(whole)


def write(path: Path, kept: dict[str, Tensor], facts: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    with replacing(path) as temporary:
        save_file({k: v.contiguous() for k, v in kept.items()}, temporary, {"facts": json.dumps(facts)})


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {}).get("facts", "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise UsageError(f"{shown(path)} is no checkpoint of a training run: delete it") from error
