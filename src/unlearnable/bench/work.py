"""What a cell does: protect, purify or attack. The same here, in a process of a pool, or on a node of a cluster.

Pictures come in and go out as bytes ``[n 3 s s]``, so that workers need no file of the driver's. A failure is a value.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from unlearnable.errors import UnlearnableError, UsageError
from unlearnable.evaluation.attack import Pictures, Trial
from unlearnable.evaluation.material import METRICS
from unlearnable.models.base import Model
from unlearnable.models.offline import going_offline
from unlearnable.recipe import Recipe
from unlearnable.rng import image_keys

DONE, FAILED, MEMORY, TIMEOUT = "done", "failed", "memory", "timeout"
NO_ROOM = ("can't allocate memory", "out of memory")
FIDELITY = ("psnr", "ssim", "linf")

Inputs = Mapping[str, Tensor]
Made = tuple[dict[str, Any], Tensor]


class TimeUp(UnlearnableError):
    """A cell took longer than it may."""


class Order(Protocol):
    """What is done with pictures, bytes ``[n 3 s s]`` by their part in it: facts for the store, and pictures."""

    def __call__(self, given: Inputs, checkpoint: Path | None) -> Made: ...


@dataclass(frozen=True)
class Job:
    """An order with all that it needs; `threads` 0 leaves torch's as they are, `timeout` 0 sets no limit."""

    key: str
    order: Order
    inputs: dict[str, Tensor]
    timeout: float = 0
    threads: int = 0
    checkpoint: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """Of a job: what it made, or its `status` and `message`."""

    status: str
    message: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    pictures: Tensor = field(default_factory=lambda: torch.empty(0))


@dataclass(frozen=True)
class Where:
    """A model as `load_model` is asked for it."""

    name: str
    device: str = "auto"
    dtype: str = "auto"
    offline: bool = False


@lru_cache(maxsize=2)
def model_at(where: Where) -> Model:
    """The model, loaded once for a process."""
    from unlearnable.models.load import load_model

    return load_model(where.name, device=where.device, dtype=where.dtype, offline=where.offline)


@dataclass(frozen=True)
class Protecting:
    """The pictures `clean`, protected within the recipe's budget on the 8-bit grid, and how far they are from it."""

    model: Where
    recipe: Recipe

    def __call__(self, given: Inputs, checkpoint: Path | None) -> Made:
        from unlearnable.models.features import distance
        from unlearnable.protection.perceptual import network

        model, settings, started = model_at(self.model), self.recipe.protection(), time.monotonic()
        x, each = real(given["clean"]), settings.learns and self.recipe.group == "picture"
        options: dict[str, Any] = {"prompt": self.recipe.prompt, "seed": self.recipe.seed}
        size = 1 if each else len(x) if settings.learns else self.recipe.views
        moved = torch.cat([settings(model, part, **options).float().cpu() for part in x.split(size)])
        seal = settings.constraint.seal
        y = x + torch.stack([seal(a * 255, (b - a) * 255) for a, b in zip(x, moved)]) / 255
        seconds = (time.monotonic() - started) / len(x)
        far = {name: mean(METRICS[name], y, x) for name in FIDELITY}
        far["perceptual"] = float(distance(x, y, network(torch.device("cpu"))).mean())
        return {"fidelity": far, "seconds each": round(seconds, 3)}, y


@dataclass(frozen=True)
class Purifying:
    """The pictures `seen` behind a countermeasure; `model` is for chains that need one."""

    chain: str
    seed: int
    model: Where | None = None

    def __call__(self, given: Inputs, checkpoint: Path | None) -> Made:
        from unlearnable.purification.chain import parse

        chain = parse(self.chain, model_at(self.model) if self.model else None)
        return {}, chain(real(given["seen"]), seed=self.seed)


@dataclass(frozen=True)
class Attacking:
    """An attacker on the pictures `seen` (none: the untouched model), the first `count` of them, and `others` after.

    Tested on `held_out` and on `clean`, the originals of what it trains on, whose names its randomness has. What it
    draws is compared with these and with `reference`.
    """

    model: Where
    trial: Trial
    features: str
    count: int = 0

    def __call__(self, given: Inputs, checkpoint: Path | None) -> Made:
        from unlearnable.metrics.subject import similarity

        model, clean, held_out = model_at(self.model), real(given["clean"]), real(given["held_out"])
        seen = None
        if "seen" in given:
            mine = real(given["seen"])
            if "others" in given:
                mine = torch.cat([mine[: self.count], real(given["others"])[self.count :]])
            seen = Pictures(mine, (), tuple(image_keys(clean)))
        facts, made = self.trial(model, seen, Pictures(torch.cat([held_out, clean]), ()), checkpoint)
        known = [clean, held_out, *([real(given["reference"])] if "reference" in given else [])]
        network = judge(self.features, self.model.device)
        facts["similarity"] = similarity(network(made), network(torch.cat(known))).tolist()
        facts["own"], facts["held_out"] = facts["held_out"][len(held_out) :], facts["held_out"][: len(held_out)]
        return facts, made


@lru_cache(maxsize=1)
def judge(name: str, device: str) -> Any:
    from unlearnable.metrics.features import features

    return features(name, device)


def real(levels: Tensor) -> Tensor:
    """Bytes to [0, 1]."""
    return levels.float() / 255


def bytes_of(images: Tensor) -> Tensor:
    """Pictures in [0, 1] as bytes."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8).cpu()


def mean(metric: Any, y: Tensor, x: Tensor) -> float | None:
    try:
        return float(metric(y, x).mean())
    except UsageError:  # pictures too small for this metric
        return None


def do(job: Job) -> Outcome:
    """Do a job; whatever goes wrong with it is in the outcome. Only an interruption is raised."""
    if job.threads:
        torch.set_num_threads(job.threads)
    started = time.monotonic()
    try:
        with limited(job.timeout):
            where = getattr(job.order, "model", None)
            with going_offline(where is not None and where.offline):
                facts, pictures = job.order(job.inputs, job.checkpoint)
    except TimeUp as error:
        return Outcome(TIMEOUT, str(error))
    except UnlearnableError as error:
        small = isinstance(error.__cause__, torch.OutOfMemoryError)
        return Outcome(MEMORY if small else FAILED, str(error))
    except Exception as error:  # a third party's method can fail in any way, and its cell alone fails with it
        said = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        small = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(word in said for word in NO_ROOM)
        return Outcome(MEMORY if small else FAILED, said)
    return Outcome(DONE, "", {"took": round(time.monotonic() - started, 2)} | facts, bytes_of(pictures))


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `Late` inside when the time is over.

    By an alarm, which only a process's main thread can have: that is where every executor works. Elsewhere, and on
    systems without alarms, there is no limit.
    """
    if not seconds or not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: Any) -> None:
        raise TimeUp(f"the cell took longer than {seconds:g} s: raise the recipe's timeout, or leave the cell out")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
