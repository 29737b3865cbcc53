"""The pictures that an audit works on: clean and protected twins by name, and held-out photographs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from unlearnable.errors import PictureError, UsageError, shown
from unlearnable.images import files
from unlearnable.images.compare import FOLDER
from unlearnable.metrics.pairing import Pairing, pair
from unlearnable.storage.journal import NAME


@dataclass(frozen=True)
class Pair:
    """A picture and its protected twin, of the same size; `content` is the hash of the clean pixels."""

    name: str
    clean: Path
    protected: Path
    content: str


@dataclass(frozen=True)
class Photo:
    """A clean photograph that is held out."""

    name: str
    path: Path
    content: str


@dataclass
class Subject:
    """The pictures that attackers train on and are tested on. `given`: the user named the held-out photographs.

    `problems` has one sentence for each file that could not be used, `notes` has other remarks.
    """

    train: list[Pair] = field(default_factory=list)
    held_out: list[Photo] = field(default_factory=list)
    given: bool = False
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def subject(clean: Path, protected: Path, held_out: Path | None = None) -> Subject:
    """Pair two folders (subfolders too) or two files, and hold photographs out.

    Without `held_out`, about a third of the pairs are held out from every attacker, spread evenly over their names.
    Raises UsageError where nothing can be compared, or nothing can be held out.
    """
    if clean.exists() and protected.exists() and clean.resolve() == protected.resolve():
        raise UsageError(f"{shown(clean)} is given as clean and as protected: name the folder of the protected twins")
    result = Subject(given=held_out is not None)
    folders = pair(clean, protected, recursive=True)
    result.problems += unpaired(folders, protected)
    pairs = list(checked(folders, result.problems))
    if not pairs:
        reason = f": {result.problems[0]}" if result.problems else ""
        remedy = "give a folder and its protected twin, with the same file names and sizes"
        raise UsageError(f"no picture of {shown(clean)} has a usable twin in {shown(protected)}, {remedy}{reason}")
    if held_out is None:
        split(pairs, result)
    else:
        apart(pairs, held_out, result)
    return result


def unpaired(folders: Pairing, protected: Path) -> list[str]:
    """A sentence for each picture without a twin; the comparison sheets that `protect` writes are ignored."""
    compared = (protected / NAME).is_file()
    left = [p for name, p in folders.only_protected.items() if not (compared and name.startswith(f"{FOLDER}/"))]
    remedy = "give the two files the same name, or leave it out"
    return [
        *[f"{shown(p)} has no protected twin: {remedy}" for p in folders.only_clean.values()],
        *[f"{shown(p)} has no clean twin: {remedy}" for p in left],
    ]


def checked(folders: Pairing, problems: list[str]) -> Iterable[Pair]:
    """The pairs that can be read, are of one size, and do not repeat another pair; the rest go to `problems`."""
    seen: dict[str, Path] = {}
    for name, (first, second) in folders.pairs.items():
        try:
            before, after = files.read(first), files.read(second)
        except PictureError as error:
            problems.append(str(error))
            continue
        (h, w), (h2, w2) = before.pixels.shape[:2], after.pixels.shape[:2]
        if (h, w) != (h2, w2):
            sizes = f"{shown(first)} has {w} x {h} px and its protected twin {shown(second)} {w2} x {h2}"
            problems.append(f"{sizes}: protect the picture again, or bring both to one size")
            continue
        content = files.content_hash(before)
        if seen.setdefault(content, first) != first:
            problems.append(f"{shown(first)} is the same picture as {shown(seen[content])}: leave one of them out")
            continue
        yield Pair(name, first, second, content)


def split(pairs: list[Pair], subject: Subject) -> None:
    """Hold out about every third pair."""
    if len(pairs) < 2:
        raise UsageError(
            f"{shown(pairs[0].clean)} is the only picture that can be used, and an attacker is tested on photographs "
            "that it has not seen: add pictures, or give a folder of other photographs of the subject with --held-out"
        )
    count = -(-len(pairs) // 3)
    places = {int((i + 0.5) * len(pairs) / count) for i in range(count)}
    subject.train = [p for i, p in enumerate(pairs) if i not in places]
    subject.held_out = [Photo(p.name, p.clean, p.content) for i, p in enumerate(pairs) if i in places]
    names = ", ".join(photo.name for photo in subject.held_out)
    subject.notes.append(f"{count} of {len(pairs)} clean pictures were held out from every attacker: {names}")


def apart(pairs: list[Pair], folder: Path, subject: Subject) -> None:
    """Hold out the photographs of a folder, except for those that an attacker trains on."""
    if not folder.exists():
        raise UsageError(f"{shown(folder)} does not exist: name a folder of clean photographs with --held-out")
    seen = {p.content: p for p in pairs}
    for path, name in files.sources([folder], True):
        try:
            content = files.content_hash(files.read(path))
        except PictureError as error:
            subject.problems.append(str(error))
            continue
        if content in seen:
            same = f"{shown(path)} is the same picture as {shown(seen[content].clean)}, which the attackers train on"
            subject.problems.append(f"{same}: give other photographs with --held-out")
        else:
            subject.held_out.append(Photo(shown(name.as_posix()), path, content))
    subject.train = pairs
    if not subject.held_out:
        reason = f": {subject.problems[-1]}" if subject.problems else ""
        raise UsageError(f"no picture of {shown(folder)} can be held out{reason}")
