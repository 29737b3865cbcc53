"""Sample sheets: for each subject an original, its protected versions, and what attackers drew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unlearnable.bench.study import CLEAN, RANDOM
from unlearnable.bench.sums import Row
from unlearnable.bench.tables import Table
from unlearnable.errors import PictureError
from unlearnable.evaluation.html import Shot, uri
from unlearnable.images import files

MOST = 5_500_000  # characters of all pictures together
SIDES = (160, 128, 96, 64, 48)
DRAWN = 2  # drawings of each attacker


@dataclass(frozen=True)
class Candidate:
    """A picture that a sheet may show."""

    caption: str
    path: Path


def sheets(out: Path, table: Table, rows: Sequence[Row], attack: str) -> list[tuple[str, list[Shot]]]:
    """Each subject that has pictures, with these, at the largest size that keeps the page small.

    Shown at the table's budget and without countermeasure: clean, the random control, the best and the worst method.
    """
    methods = [CLEAN, RANDOM, *dict.fromkeys(line.method for line in table.rivals[:1] + table.rivals[-1:])]
    named = [(subject, candidates(out, table, rows, attack, subject, methods)) for subject in table.baseline.subjects]
    named = [(subject, pictures) for subject, pictures in named if pictures]
    for side in SIDES:
        sized = [
            (subject, [shot for each in pictures if (shot := shown(subject, each, side))])
            for subject, pictures in named
        ]
        if sum(len(shot.uri) for _, shots in sized for shot in shots) <= MOST:
            return [(subject, shots) for subject, shots in sized if shots]
    while sum(len(shot.uri) for _, shots in sized for shot in shots) > MOST:
        sized.pop()
    return sized


def candidates(
    out: Path, table: Table, rows: Sequence[Row], attack: str, subject: str, methods: Sequence[str]
) -> list[Candidate]:
    """The subject's first picture under each method, then what the attacker drew after each method."""
    first: dict[str, Row] = {}
    for r in (*(r for r in rows if r["method"] == CLEAN and r["model"] == table.model), *table.rows):
        if (r["subject"], r["purify"], r["attack"]) == (subject, "none", attack):
            first.setdefault(r["method"], r)
    tried = [(name, first[name]) for name in methods if name in first]
    twins = [("original" if name == CLEAN else f"protected: {name}", r["protected"][:1]) for name, r in tried]
    drawn = [(f"drawn from {name}", r["samples"][:DRAWN]) for name, r in tried]
    return [Candidate(caption, out / path) for caption, paths in [*twins, *drawn] for path in paths]


def shown(subject: str, picture: Candidate, side: int) -> Shot | None:
    """None where the file is not there: results are often kept without their pictures."""
    try:
        pixels = files.read(picture.path).pixels
    except PictureError:
        return None
    return Shot(picture.caption, f"{subject}, {picture.caption}", uri(pixels, side))
