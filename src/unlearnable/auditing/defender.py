"""What the journal beside protected files says: how they were protected, and what each of them promised."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import torch

from unlearnable.errors import UsageError, shown
from unlearnable.evaluation.pairs import Pair
from unlearnable.images import files
from unlearnable.images.tensors import tensor
from unlearnable.inputs import fits
from unlearnable.recipe import Recipe
from unlearnable.storage.journal import NAME, lines

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnable.models.base import Model
    from unlearnable.protection.constraints import Constraint


@dataclass(frozen=True)
class Defender:
    """How the pictures were protected: the `recipe` of most of them, and the budget of each by its file's name."""

    recipe: Recipe
    constraints: dict[str, Constraint] = field(default_factory=dict)

    @property
    def budget(self) -> str:
        return self.recipe.protection().constraint.describe()


def defender(protected: Path, pairs: list[Pair]) -> Defender | None:
    """Read the journal of `protect` beside the protected files; None where there is none that can be understood.

    The journal is only read. A budget counts for a pair whose clean picture is the one that the journal speaks of.
    """
    folder = protected if protected.is_dir() else protected.parent
    try:
        text = (folder / NAME).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    names = {p.protected.relative_to(folder).as_posix(): p for p in pairs}
    recipes: dict[str, Recipe] = {}
    found: dict[str, Recipe] = {}
    for line in lines(text):
        if isinstance(run := line.get("run"), dict):
            if recipe := understood(run):
                recipes[str(run.get("hash"))] = recipe
            continue
        pair, used = names.get(str(line.get("output"))), recipes.get(str(line.get("recipe_hash")))
        if pair and used and line.get("content") == pair.content:
            found[pair.name] = used
    if not found:
        return None
    every = list(found.values())
    return Defender(max(every, key=every.count), {name: r.protection().constraint for name, r in found.items()})


def understood(run: dict[str, Any]) -> Recipe | None:
    """A journal's recipe, if this version knows all of it."""
    settings, hints = {name: value for name, value in run.items() if name != "hash"}, get_type_hints(Recipe)
    if not all(name in hints and fits(value, hints[name]) for name, value in settings.items()):
        return None
    try:
        recipe = Recipe(**settings)
        recipe.protection()
    except UsageError:
        return None
    return recipe


def broken(known: Defender, pairs: list[Pair]) -> list[str]:
    """A sentence for each protected file that is further from its original than its journal says it may be."""
    found = []
    for pair in pairs:
        if pair.name not in known.constraints:
            continue
        constraint = known.constraints[pair.name]
        x = tensor(files.read(pair.clean).pixels)
        change = tensor(files.read(pair.protected).pixels) - x
        if not constraint.is_satisfied(change, x):
            rms = float(change.square().mean().sqrt())
            moved = f"moves by up to {int(change.abs().max())}/255 ({rms:.2f} root mean square)"
            found.append(f"{shown(pair.name)} {moved}, and {constraint.describe()} was promised")
    return found


@torch.no_grad()
def objective(known: Defender, model: Model, images: Tensor) -> float:
    """Mean of what the defender's method raises, for pictures ``[n 3 s s]``, under a model."""
    settings = known.recipe.protection()
    rows = [settings.evaluate(model, some, prompt=known.recipe.prompt) for some in images.split(4)]
    return float(torch.cat(rows).mean())
