"""The pictures of a report's page as data URIs: the owner's, their protected twins, and what attackers drew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from unlearnable.auditing.facts import Facts
from unlearnable.auditing.settings import NONE
from unlearnable.auditing.verdict import verdict
from unlearnable.evaluation.html import Shot, uri
from unlearnable.evaluation.material import CLEAN, CONTROL, PROTECTED, Condition
from unlearnable.evaluation.pairs import Pair, Subject
from unlearnable.evaluation.rates import Row
from unlearnable.images import files
from unlearnable.images.sheet import levels

if TYPE_CHECKING:
    from unlearnable.auditing.tasks import Run

DETAIL = 160  # px of a file, shown one to one
FEW = 4  # pictures in a panel of the first glance
GAIN = 10


def glance(facts: Facts, run: Run, pictures: Subject) -> list[tuple[str, list[Shot]]]:
    """A few pictures under each title: the owner's, clean and protected, and what the worst attacker drew."""
    least, shown = verdict(facts.rows).worst, pictures.train[:FEW]
    attack = least.attack if least else run.settings.attacks[0]
    panels = []
    for title, side in (("Your pictures", "clean"), ("The same, protected", "protected")):
        paths = [(p.name, p.clean if side == CLEAN else p.protected) for p in shown]
        shots = [Shot("", f"{name}, {side}, small", uri(files.read(path).pixels, DETAIL)) for name, path in paths]
        panels.append((title, shots))
    shown_conditions = [Condition(CLEAN), Condition(PROTECTED), Condition(CONTROL)]
    if least and least.condition.purify != NONE:
        shown_conditions.insert(2, least.condition)
    drawings = {row.condition: shots for row, shots in drawn(attack, facts, run, FEW, "at a glance, ")}
    for condition in shown_conditions:
        if drawings.get(condition):
            panels.append((f"Drawn by {attack}, trained on the {condition}", drawings[condition]))
    return panels


def twins(pair: Pair, place: int, run: Run) -> list[Shot]:
    """A picture, its protected twin, a detail of both and their difference, then its other versions at model size."""
    before, after = files.read(pair.clean).pixels, files.read(pair.protected).pixels
    change = after.astype(np.int16) - before
    amplified = np.clip(128 + GAIN * change, 0, 255).astype(np.uint8)
    material, seed = run.material, run.settings.seeds[0]
    shots = [
        Shot("clean", f"{pair.name}, the clean picture", uri(before)),
        Shot("protected", f"{pair.name}, protected", uri(after)),
        Shot("clean, a detail at full size", f"{pair.name}, a detail of the clean picture", uri(middle(before))),
        Shot("protected, the same detail", f"{pair.name}, the same detail protected", uri(middle(after))),
        Shot(f"difference × {GAIN}", f"{pair.name}, the difference of both, amplified", uri(amplified)),
    ]
    for name in run.chains:
        tensor = run.seen(Condition(PROTECTED, name), seed).images[place]
        shots.append(Shot(f"protected, {name}", f"{pair.name}, protected, after {name}", uri(levels(tensor).pixels)))
    noisy = material.controls[seed].images[place]
    return [*shots, Shot("random control", f"{pair.name}, the random control", uri(levels(noisy).pixels))]


def drawn(
    attack: str, facts: Facts, run: Run, most: int | None = None, prefix: str = ""
) -> list[tuple[Row, list[Shot]]]:
    """What one attacker drew with the first seed, row by row: all pictures, or the first `most`."""
    panels = []
    for row in (r for r in facts.rows if r.attack == attack):
        labels = {"attack": attack, "condition": row.condition.kind, "purify": row.condition.purify}
        cells = [cell for cell in run.cells if all(cell[key] == value for key, value in labels.items())]
        paths = [run.store.folder.parent / path for path in cells[0]["pictures"]][:most] if cells else []
        texts = [f"{prefix}{attack}, {row.condition}: generated picture {i}" for i, _ in enumerate(paths, 1)]
        panels.append((row, [Shot("", text, uri(files.read(path).pixels)) for text, path in zip(texts, paths)]))
    return panels


def middle(pixels: np.ndarray) -> np.ndarray:
    """The middle of a picture, at most `DETAIL` px a side."""
    top, left = (max(0, (side - DETAIL) // 2) for side in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + DETAIL, left : left + DETAIL])
