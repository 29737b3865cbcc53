"""The one training loop of the scripts: it resumes, averages weights, prints its progress, saves every minute."""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

import torch
from diffusers.training_utils import EMAModel

from common import (
    CACHE,
    Clock,
    Figures,
    autocast,
    learning_rate,
    load_checkpoint,
    mean_gradients,
    pick_device,
    save_checkpoint,
    set_threads,
    step_rng,
)

Batch = tuple[torch.Tensor, ...]
Loss = Callable[..., tuple[torch.Tensor, Figures]]


@dataclass
class Loop:
    """Networks in training. `loss` maps a part of a batch to a scalar and figures for the log.

    The checkpoint `file` holds weights, AdamW's moments, averaged weights, step and minutes; one that is there is
    loaded at once. The learning curve goes to a .jsonl file beside it.
    """

    modules: dict[str, torch.nn.Module]
    loss: Loss
    file: Path
    args: argparse.Namespace
    peak_rate: float
    weight_decay: float = 1e-3
    ema_decay: float = 0.998
    clock: Clock = field(init=False)

    def __post_init__(self) -> None:
        self.device = pick_device(self.args.device)
        self.shards = set_threads(self.device, self.args.shards)
        for module in self.modules.values():
            module.to(self.device).train()
        self.parameters = [p for module in self.modules.values() for p in module.parameters()]
        rates = {"lr": self.peak_rate, "betas": (0.9, 0.99), "weight_decay": self.weight_decay}
        self.optimizer = torch.optim.AdamW(self.parameters, **rates, fused=self.device.type in ("cpu", "cuda"))
        self.ema = EMAModel(self.parameters, decay=self.ema_decay, foreach=True)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        progress = load_checkpoint(self.file, self.modules, self.optimizer, self._averages())
        self.clock = Clock(self.args.steps, self.args.minutes, progress.get("step", 0), progress.get("minutes", 0.0))
        self.ema.optimization_step = self.clock.step

    def run(
        self,
        draw: Callable[[torch.Generator, float], Batch],
        saved: Callable[[], None] = lambda: None,
        every: int = 0,
        check: Callable[[], dict[str, float]] = dict,
    ) -> None:
        """Train until the budget is used up.

        `draw(rng, done)` makes a batch from the random numbers of its step and the fraction `done` of the budget;
        `saved` is called after each checkpoint; `check`, which returns held-out figures for the learning curve, each
        `every` steps and at the end. Both find the averaged weights in place.
        """
        print(f"{sum(p.numel() for p in self.parameters) / 1e6:.2f} M parameters on {self.device}", flush=True)
        first = self.clock.step
        last_saved = last_said = time.monotonic()
        seen, recent = 0, []
        while self.clock.done < 1:
            batch = draw(step_rng(self.args.seed, self.clock.step), self.clock.done)
            seen += len(batch[0])
            recent.append(self._step(tuple(part.to(self.device, non_blocking=True) for part in batch)))
            if time.monotonic() - last_said > 15:
                means = mean_figures(recent)
                last_said, recent = time.monotonic(), []
                print(self.clock.line(seen), means, flush=True)
                self._note(means)
            if time.monotonic() - last_saved > 60:
                self.save(saved)
                last_saved = time.monotonic()
            if every and self.clock.step % every == 0:
                self.averaged(lambda: self._note(check(), say=True))
        self.save(saved)
        print(f"{self.clock.line(seen)}; steps {first} to {self.clock.step}", flush=True)
        self.averaged(lambda: self._note(check(), say=True))

    def _note(self, figures: dict[str, float], say: bool = False) -> None:
        if say and figures:
            print(figures, flush=True)
        row = {"step": self.clock.step, "minutes": round(self.clock.elapsed, 2), **figures}
        with self.file.with_suffix(".jsonl").open("a") as curve:
            curve.write(json.dumps(row) + "\n")

    def _step(self, batch: Batch) -> Figures:
        parts = mean_gradients(self._loss, self.parameters, batch, self.shards)
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.peak_rate, self.clock.done, self.clock.step)
        self.optimizer.step()
        self.ema.step(self.parameters)
        self.clock.step += 1
        return parts

    def _loss(self, *batch: torch.Tensor) -> tuple[torch.Tensor, Figures]:
        with autocast(self.device):
            return self.loss(*batch)

    def averaged(self, do: Callable[[], None]) -> None:
        """Call `do` while the networks hold their averaged weights."""
        self.ema.store(self.parameters)
        self.ema.copy_to(self.parameters)
        do()
        self.ema.restore(self.parameters)

    def save(self, saved: Callable[[], None]) -> None:
        now = {"step": self.clock.step, "minutes": self.clock.elapsed}
        save_checkpoint(self.file, self.modules, self.optimizer, self._averages(), now)
        self.averaged(saved)

    def _averages(self) -> dict[str, list[torch.Tensor]]:
        return {"shadow": self.ema.shadow_params}


def mean_figures(rows: list[Figures]) -> dict[str, float]:
    """The mean of each figure over the steps that have it."""
    names = {name: None for row in rows for name in row}
    return {name: round(mean(float(row[name]) for row in rows if name in row), 4) for name in names}


def parser(description: str | None) -> argparse.ArgumentParser:
    """The options every training script has."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", help="folder of the tables (default $UNLEARNABLE_DATA or ../shared/data/train)")
    made.add_argument("--out", type=Path, default=CACHE)
    made.add_argument("--device", default="auto")
    made.add_argument("--shards", type=int, help="CPU threads with a share of the batch each (default: one a core)")
    made.add_argument("--steps", type=int)
    made.add_argument("--minutes", type=float)
    made.add_argument("--seed", type=int, default=0)
    return made


def parse(options: argparse.ArgumentParser) -> argparse.Namespace:
    """The command line, which must give a budget."""
    args = options.parse_args()
    if args.steps is None and args.minutes is None:
        options.error("give a budget: --steps N or --minutes N")
    return args
