"""Pairs of pictures of two folders: equal names, whatever the format."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from unlearnable.errors import UsageError, shown
from unlearnable.images import files


@dataclass(frozen=True)
class Pairing:
    """Pictures by name: pairs (clean, protected), and those that have no partner on the other side."""

    pairs: dict[str, tuple[Path, Path]]
    only_clean: dict[str, Path]
    only_protected: dict[str, Path]


def pair(clean: str | Path, protected: str | Path, recursive: bool = False) -> Pairing:
    """Pair the pictures of two folders (or two single files, whatever their names).

    Names are paths inside the folder. Equal names go together first, then names that are equal but for the suffix, if
    they are so on one picture of each side only. Raises UsageError where a folder is missing or holds no picture.
    """
    sides = []
    for folder in map(Path, (clean, protected)):
        if not folder.exists():
            raise UsageError(f"{shown(folder)} does not exist: check the name")
        sides.append({_name(relative): path for path, relative in files.sources([folder], recursive)})
    first, second = sides
    if Path(clean).is_file() and Path(protected).is_file():
        (name, one), (_, other) = *first.items(), *second.items()
        return Pairing({name: (one, other)}, {}, {})
    pairs = {name: (path, second[name]) for name, path in first.items() if name in second}
    first, second = ({n: p for n, p in side.items() if n not in pairs} for side in sides)
    stems, others = _by_stem(first), _by_stem(second)
    for stem, names in stems.items():
        if len(names) == len(others.get(stem, [])) == 1:
            pairs[names[0]] = (first.pop(names[0]), second.pop(others[stem][0]))
    return Pairing(dict(sorted(pairs.items())), first, second)


def _name(relative: Path) -> str:
    """As text that compares and prints safely (macOS writes accents as letters of their own)."""
    return unicodedata.normalize("NFC", shown(relative.as_posix()))


def _by_stem(side: dict[str, Path]) -> dict[str, list[str]]:
    stems: dict[str, list[str]] = {}
    for name in side:
        stems.setdefault(name.rpartition(".")[0] or name, []).append(name)
    return stems
