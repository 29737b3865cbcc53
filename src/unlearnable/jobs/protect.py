"""The verb: pictures in, protected pictures out, here or on a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnable import inputs as given
from unlearnable.jobs.run import Progress, Result, Run
from unlearnable.recipe import Recipe

if TYPE_CHECKING:
    from unlearnable.models.base import Model


def protect(
    inputs: given.Inputs,
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
    change. `progress` is told how much of the work is done, in pictures with fractions, and how many pictures there
    are; what is done at the start counts as no work. Inputs are never
    changed. `remark` is told what the method has to say about the run. A bad picture is a
    failed result; UsageError and SetupError end the run. `ray` ("auto" or a cluster's address) has groups worked on
    there, with the same bits; inputs and `out` may then be URLs that fsspec knows, and results come as they are done.
    """
    recipe, kind = recipe or Recipe(), Run
    where = given.path(mask, "mask") if mask is not None else None
    options: tuple[Any, ...] = (recipe, where, recursive, overwrite, progress)
    if ray is not None:
        from unlearnable.jobs.ray import Spread

        run: Run = Spread.over(ray, given.names(inputs), given.name(out, "output folder"), *options)
    else:
        if recipe.surrogate:
            from unlearnable.jobs.dataset import Whole as kind
        run = kind.open(given.paths(inputs), given.path(out, "output folder"), *options)
    return held(run, model, remark or (lambda text: None))


def held(run: Run, model: Model | None, remark: Callable[[str], None]) -> Iterator[Result]:
    """The results of a run that has its output folder for itself; of processes launched together the first locks it."""
    from unlearnable.storage.locks import alone

    with alone(run.out) if os.environ.get("RANK", "0") == "0" else nullcontext():
        yield from run.results(model, remark)
