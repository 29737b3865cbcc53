"""How files were protected and with which budgets, read from the journal beside them."""

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
    """Read the journal of `protect` beside the protected files; None where there is none that this version can read.

    The journal is only read. A budget applies to a pair whose clean picture has the content noted in the journal.
    """
    folder = protected if protected.is_dir() else protected.parent
    try:
        text = (folder / NAME).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    names = {p.protected.relative_to(folder).as_posix(): p for p in pairs}
    recipes: dict[str, Recipe] = {}
    used_by: dict[str, Recipe] = {}
    for line in lines(text):
        if isinstance(run := line.get("run"), dict):
            if recipe := understood(run):
                recipes[str(run.get("hash"))] = recipe
            continue
        pair, used = names.get(str(line.get("output"))), recipes.get(str(line.get("recipe_hash")))
        if pair and used and line.get("content") == pair.content:
            used_by[pair.name] = used
    if not used_by:
        return None
    used_recipes = list(used_by.values())
    return Defender(
        max(used_recipes, key=used_recipes.count), {name: r.protection().constraint for name, r in used_by.items()}
    )


def understood(run: dict[str, Any]) -> Recipe | None:
    """A journal's recipe; None where it has settings that this version does not know."""
    settings, hints = {name: value for name, value in run.items() if name != "hash"}, get_type_hints(Recipe)
    if not all(name in hints and fits(value, hints[name]) for name, value in settings.items()):
        return None
    try:
        recipe = Recipe(**settings)
        recipe.protection()
    except UsageError:
        return None
    return recipe


def broken(defender: Defender, pairs: list[Pair]) -> list[str]:
    """A sentence for each protected file that breaks the budget in its journal."""
    sentences = []
    for pair in pairs:
        if pair.name not in defender.constraints:
            continue
        constraint = defender.constraints[pair.name]
        x = tensor(files.read(pair.clean).pixels)
        change = tensor(files.read(pair.protected).pixels) - x
        if not constraint.is_satisfied(change, x):
            rms = float(change.square().mean().sqrt())
            moved = f"moves by up to {int(change.abs().max())}/255 ({rms:.2f} root mean square)"
            sentences.append(f"{shown(pair.name)} {moved}, and {constraint.describe()} was promised")
    return sentences


@torch.no_grad()
def objective(defender: Defender, model: Model, images: Tensor) -> float:
    """The mean of the defender's objective under a model, for pictures ``[n 3 s s]``."""
    settings = defender.recipe.protection()
    rows = [settings.evaluate(model, part, prompt=defender.recipe.prompt) for part in images.split(4)]
    return float(torch.cat(rows).mean())
