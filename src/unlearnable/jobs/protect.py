"""The verb: pictures in, protected pictures out, here or on a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnable import inputs as arguments
from unlearnable.jobs.execute import SerialExecutor
from unlearnable.jobs.result import Progress, Result
from unlearnable.jobs.run import Remark, Run
from unlearnable.recipe import Recipe

if TYPE_CHECKING:
    from unlearnable.models.base import Model


def protect(
    inputs: arguments.Inputs,
    out: str | Path,
    recipe: Recipe | None = None,
    *,
    model: Model | None = None,
    mask: str | Path | None = None,
    recursive: bool = False,
    overwrite: bool = False,
    ray: str | None = None,
    progress: Progress | None = None,
    remark: Callable[[str], None] | None = None,
) -> Iterator[Result]:
    """Protect files and folders (a path, or several), yielding a `Result` for each picture as it is done.

    Folders are mirrored under `out`. Finished files are skipped by (content hash, recipe hash) unless `overwrite`;
    to resume, call it again. `mask` is a picture, or a folder of pictures with the inputs' names: light parts may
    change. `progress` is called with the work that is done, in pictures with fractions, and the number of pictures;
    pictures that are finished at the start count as no work. Inputs are never changed. `remark` is called with the
    method's sentence about the run, if it has one. A bad picture is a failed result; UsageError and SetupError end the
    run. With `ray` ("auto" or a cluster's address) a Ray cluster works on the groups, with the same bits; inputs and
    `out` may then be URLs that fsspec knows, and results come in the order in which they are done.
    """
    recipe = recipe or Recipe()
    where = arguments.path(mask, "mask") if mask is not None else None
    options: tuple[Any, ...] = (recipe, where, recursive, overwrite, progress)
    tell = remark or (lambda text: None)
    if ray is not None:
        from unlearnable.jobs.ray import Cluster

        cluster = Cluster.over(ray, arguments.names(inputs), arguments.name(out, "output folder"), *options)
        return alone(cluster.run.out, lambda: cluster.results(model, tell))
    run = Run.open(arguments.paths(inputs), arguments.path(out, "output folder"), *options)
    if recipe.surrogate:
        from unlearnable.jobs.dataset import WholeSet

        return alone(run.out, lambda: WholeSet.over(run).results(model, tell))
    return alone(run.out, lambda: serial(run, model, tell))


def serial(run: Run, model: Model | None, remark: Remark) -> Iterator[Result]:
    """The results of a run in this process."""
    loaded = run.begin(model, remark)
    yield from SerialExecutor(run.recipe, loaded, run.ledger).results(run.planner(loaded))


def alone(out: Path, results: Callable[[], Iterator[Result]]) -> Iterator[Result]:
    """Results of a run that has its output folder for itself; of processes launched together the first locks it."""
    from unlearnable.storage import locks

    with locks.alone(out) if os.environ.get("RANK", "0") == "0" else nullcontext():
        yield from results()
