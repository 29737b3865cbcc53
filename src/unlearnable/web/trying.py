"""Before a long run: the three strengths on a piece of one picture, by something fast, and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import unlearnable
from unlearnable.errors import UnlearnableError
from unlearnable.images.header import dimensions
from unlearnable.protection.sealing import sizes
from unlearnable.protection.strengths import STRENGTHS
from unlearnable.recipe import Recipe
from unlearnable.web.running import model_of
from unlearnable.web.shown import PIECE

FAST = "ldu-fast"  # for the embedded model, in one pass
FEW_STEPS = 4
PATIENCE = 3.0  # seconds that are spent on an estimate, if there are two reports by then
Tell = Callable[..., None]


def quick(recipe: Recipe) -> Recipe:
    """A recipe that shows in seconds about what `recipe` will look like; a piece is not enlarged first."""
    recipe = replace(recipe, resolution=min(recipe.resolution or PIECE, PIECE))
    if recipe.method.startswith("ldu") and recipe.model == "embedded":
        return replace(recipe, method=FAST, steps=None, options="")
    return replace(recipe, steps=FEW_STEPS)


def strengths(piece: Path, folder: Path, recipe: Recipe, tell: Tell) -> Iterator[tuple[str, Path, dict[str, float]]]:
    """(strength, file, what was measured) for each strength on a piece of a picture, the recipe's own first."""
    tell(0, len(STRENGTHS), "strengths")
    for number, strength in enumerate(sorted(STRENGTHS, key=lambda name: name != recipe.strength)):

        def within(done: float, total: int, before: int = number, what: str = strength) -> None:
            tell(before + done / max(1, total), len(STRENGTHS), what)

        tried = replace(quick(recipe), strength=strength)
        options: dict[str, Any] = {"model": model_of(tried), "overwrite": True, "progress": within}
        for result in unlearnable.protect([piece], folder / strength, tried, **options):
            if result.status == "failed":
                raise UnlearnableError(result.message)
            yield strength, Path(str(result.output)), dict(result.measured)


class Enough(Exception):
    """The clock has seen enough."""


def foretold(piece: Path, folder: Path, recipe: Recipe, sources: Sequence[Path], tell: Tell) -> float | None:
    """Seconds that `recipe` will take for `sources`, from a few steps on the piece; None where nothing can be said."""
    seen: list[tuple[float, float]] = []

    def report(done: float, total: int) -> None:
        tell(len(STRENGTHS), len(STRENGTHS), "how long it takes")
        seen.append((time.monotonic(), done))
        if len(seen) > 2 and seen[-1][0] - seen[0][0] > PATIENCE and done > seen[1][1]:
            raise Enough

    model = model_of(recipe)
    options: dict[str, Any] = {"model": model, "overwrite": True, "progress": report}
    try:
        for result in unlearnable.protect([piece], folder / "clock", recipe, **options):
            if result.status == "failed":
                return None
    except Enough:
        seen = seen[1:]  # the first step waits for what is loaded late
    (began, before), (now, done) = seen[0], seen[-1]
    scale = sizes(model, recipe.resolution, recipe.protection().side)
    known = [scale.plan(*size).seen for source in sources if (size := dimensions(source))]
    height, width = dimensions(piece) or (1, 1)
    if done <= before or not known:
        return None
    return (now - began) / (done - before) * sum(known) / scale.plan(height, width).seen
