"""The work of a cell: protect, purify or attack. It is the same in this process, in a pool, and on a cluster.

Pictures come in and go out as bytes ``[n 3 s s]``, so that workers need none of the driver's files. A failure is
returned as a value.
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
    """Takes pictures, bytes ``[n 3 s s]`` by their role, and returns facts for the store and pictures."""

    def __call__(self, inputs: Inputs, checkpoint: Path | None) -> Made: ...


@dataclass(frozen=True)
class Job:
    """An order with its inputs; `threads` 0 leaves torch's number unchanged, `timeout` 0 sets no limit."""

    key: str
    order: Order
    inputs: dict[str, Tensor]
    timeout: float = 0
    threads: int = 0
    checkpoint: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """The outcome of a job: its facts and pictures, or the `status` and `message` of its failure."""

    status: str
    message: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    pictures: Tensor = field(default_factory=lambda: torch.empty(0))


@dataclass(frozen=True)
class ModelSpec:
    """The arguments with which `load_model` loads a model."""

    name: str
    device: str = "auto"
    dtype: str = "auto"
    offline: bool = False


@lru_cache(maxsize=2)
def model_at(spec: ModelSpec) -> Model:
    """The model, loaded once per process."""
    from unlearnable.models.load import load_model

    return load_model(spec.name, device=spec.device, dtype=spec.dtype, offline=spec.offline)


@dataclass(frozen=True)
class Protecting:
    """Protects the pictures `clean` within the recipe's budget on the 8-bit grid, and measures how far they moved."""

    model: ModelSpec
    recipe: Recipe

    def __call__(self, inputs: Inputs, checkpoint: Path | None) -> Made:
        from unlearnable.models.features import distance
        from unlearnable.protection.perceptual import network

        model, settings, started = model_at(self.model), self.recipe.protection(), time.monotonic()
        x, one_by_one = real(inputs["clean"]), settings.learns and self.recipe.group == "picture"
        options: dict[str, Any] = {"prompt": self.recipe.prompt, "seed": self.recipe.seed}
        size = 1 if one_by_one else len(x) if settings.learns else self.recipe.views
        protected = torch.cat([settings(model, part, **options).float().cpu() for part in x.split(size)])
        seal = settings.constraint.seal
        y = x + torch.stack([seal(a * 255, (b - a) * 255) for a, b in zip(x, protected)]) / 255
        seconds = (time.monotonic() - started) / len(x)
        distances = {name: mean(METRICS[name], y, x) for name in FIDELITY}
        distances["perceptual"] = float(distance(x, y, network(torch.device("cpu"))).mean())
        return {"fidelity": distances, "seconds each": round(seconds, 3)}, y


@dataclass(frozen=True)
class Purifying:
    """Puts the pictures `seen` through a countermeasure; `model` is for chains that need one."""

    chain: str
    seed: int
    model: ModelSpec | None = None

    def __call__(self, inputs: Inputs, checkpoint: Path | None) -> Made:
        from unlearnable.purification.chain import parse

        chain = parse(self.chain, model_at(self.model) if self.model else None)
        return {}, chain(real(inputs["seen"]), seed=self.seed)


@dataclass(frozen=True)
class Attacking:
    """Trains an attacker on the first `count` pictures of `seen` and `others` after them (none: the untouched model).

    `captions` are texts of these pictures, empty where all have the prompt. It is tested on `held_out` and on `clean`,
    the originals of its training pictures, whose names seed its randomness. What it draws is compared with these and
    with `reference`.
    """

    model: ModelSpec
    trial: Trial
    features: str
    count: int = 0
    captions: tuple[str | None, ...] = ()

    def __call__(self, inputs: Inputs, checkpoint: Path | None) -> Made:
        from unlearnable.metrics.subject import similarity

        model, clean, held_out = model_at(self.model), real(inputs["clean"]), real(inputs["held_out"])
        seen = None
        if "seen" in inputs:
            pictures = real(inputs["seen"])
            if "others" in inputs:
                pictures = torch.cat([pictures[: self.count], real(inputs["others"])[self.count :]])
            seen = Pictures(pictures, (), tuple(image_keys(clean)), self.captions)
        facts, drawings = self.trial(model, seen, Pictures(torch.cat([held_out, clean]), ()), checkpoint)
        subject_pictures = [clean, held_out, *([real(inputs["reference"])] if "reference" in inputs else [])]
        network = judge(self.features, self.model.device)
        facts["similarity"] = similarity(network(drawings), network(torch.cat(subject_pictures))).tolist()
        facts["own"], facts["held_out"] = facts["held_out"][len(held_out) :], facts["held_out"][: len(held_out)]
        return facts, drawings


@lru_cache(maxsize=1)
def judge(name: str, device: str) -> Any:
    from unlearnable.metrics.features import features

    return features(name, device)


def real(levels: Tensor) -> Tensor:
    """Pictures in [0, 1] from bytes."""
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
    """Do a job. All failures are in the outcome; only an interruption is raised."""
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
        message = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        small = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(word in message for word in NO_ROOM)
        return Outcome(MEMORY if small else FAILED, message)
    return Outcome(DONE, "", {"took": round(time.monotonic() - started, 2)} | facts, bytes_of(pictures))


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `TimeUp` inside the block when the time is over.

    It uses an alarm, which only a process's main thread can have: that is where every executor works. Elsewhere, and
    on systems without alarms, there is no limit.
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
