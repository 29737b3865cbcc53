"""Measure two folders of pictures against each other, on the command line and in code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearnable import registry
from unlearnable.errors import UsageError, shown
from unlearnable.inputs import path
from unlearnable.metrics.base import ATTACK, Score, facts
from unlearnable.metrics.features import Features
from unlearnable.metrics.pairing import pair
from unlearnable.metrics.run import Progress, Run, of_sets, tools
from unlearnable.models.offline import going_offline

DEFAULT = ("psnr", "ssim", "ms-ssim", "linf", "ciede2000", "changed", "perceptual")
PERCEPTUAL = "perceptual"  # no metric of its own: the best perceptual distance that is here


@dataclass(frozen=True)
class Report:
    """Scores by metric.

    `failed` has a sentence for each picture or metric that could not be measured; `only_clean` and `only_protected`
    name pictures without a partner; `notes` are remarks on what the figures mean.
    """

    scores: dict[str, Score]
    failed: tuple[str, ...] = ()
    only_clean: tuple[str, ...] = ()
    only_protected: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def measure(
    clean: str | Path,
    protected: str | Path,
    metrics: str | Sequence[str] = DEFAULT,
    *,
    features: str | Features = "embedded-features",
    prompt: str = "",
    device: str = "auto",
    recursive: bool = False,
    seed: int = 0,
    offline: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Compare the pictures of two folders (or two files).

    `metrics` are names of `registry.METRICS`, or ``perceptual``, in a list or joined by commas. Metrics of pairs
    compare pictures of one name; metrics of sets (fid, precision, similarity ...) compare all pictures of one folder
    with all of the other, so names may differ. `features` is the network that they use, `prompt` the text of clip-t.
    With `offline` no network is touched to load one. `progress` is called with the number of files that are done and of
    all. Bad pictures and pairs of different sizes are sentences in the report. Raises UsageError for unknown metrics,
    missing or empty folders, and SetupError where a metric needs what this machine lacks.
    """
    clean, protected = path(clean, "clean folder"), path(protected, "protected folder")
    functions = _functions(metrics)
    folders = pair(clean, protected, recursive)
    if not folders.pairs and not all(map(of_sets, functions.values())):
        raise UsageError(
            f"no picture of {shown(clean)} has its name in {shown(protected)}: compare a folder with its protected twin"
        )
    with going_offline(offline):
        run = Run(functions, tools(functions, features, device, prompt))
        run.read(folders, progress or (lambda done, total: None))
        scores = {name: run.score(name, function, seed) for name, function in functions.items()}
    alone = tuple(folders.only_clean), tuple(folders.only_protected)
    return Report(scores, tuple(run.failed), *alone, tuple(run.remarks()))


def _functions(metrics: str | Sequence[str]) -> dict[str, Any]:
    """The functions of metrics by name. Those that need an attacker's models cannot be had from two folders."""
    if isinstance(metrics, str):
        metrics = [name.strip() for name in metrics.split(",") if name.strip()]
    if PERCEPTUAL in metrics:
        from unlearnable.metrics.fidelity import perceptual

        metrics = [perceptual() if name == PERCEPTUAL else name for name in metrics]
    functions = {name: registry.load(name, "metric") for name in metrics}
    for name, function in functions.items():
        if facts(function).takes == ATTACK:
            raise UsageError(f"metric {name!r} needs an attacker's models, not only pictures: use `unlearnable audit`")
    if not functions:
        raise UsageError(f"no metric named: use some of {', '.join(registry.names('metric'))}")
    return functions
