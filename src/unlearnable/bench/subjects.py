"""Readers of subjects on disk, one for each layout: which photographs are protected and which are held out.

Our own folders, and the four data sets of the LDU paper (arXiv 2510.03089) as their owners hand them out: identities of
CelebA-HQ and VGGFace2 in the sets of Anti-DreamBooth (arXiv 2303.15433), WikiArt by artist, DreamBooth's objects.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from unlearnable.errors import UsageError, shown, suggestion
from unlearnable.images.formats import SUFFIXES

OBJECT, PERSON, STYLE = "object", "person", "style"
TEMPLATES = {
    OBJECT: "a photo of {token} {thing}",
    PERSON: "a photo of {token} person",
    STYLE: "a painting in the style of {token}",
}
SETS = ("set_A", "set_B", "set_C")


@dataclass(frozen=True)
class Subject:
    """Files of one subject: those that are protected and learned, held-out ones, and clean ones for reference only."""

    name: str
    kind: str
    thing: str
    protected: tuple[Path, ...]
    held_out: tuple[Path, ...]
    reference: tuple[Path, ...] = ()

    def prompt(self, token: str, template: str = "") -> str:
        """The prompt with which an attacker trains on this subject."""
        return (template or TEMPLATES[self.kind]).replace("{token}", token).replace("{thing}", self.thing)


@dataclass(frozen=True)
class Layout:
    """How subjects lie in a folder: a reader of their names, and a reader of one subject."""

    names: Callable[[Path], list[str]]
    read: Callable[[Path, str, int], Subject]


def subjects(data: Path, layout: str, patterns: Sequence[str], photos: int) -> list[Subject]:
    """The subjects of a folder that match names and patterns, in that order; `photos` of each are protected.

    Raises UsageError for an unknown layout, folder or subject, and for a subject with too few photographs.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"unknown layout {layout!r}: {suggestion(layout, list(LAYOUTS))}")
    if not data.is_dir():
        raise UsageError(f"the data folder {shown(data)!r} is not here: name another with --data")
    names = LAYOUTS[layout].names(data)
    chosen: dict[str, None] = {}
    for name in patterns:
        matches = [each for each in names if fnmatchcase(each, name)]
        if not matches:
            what = suggestion(name, names) if names else "that folder has none"
            raise UsageError(f"no subject {name!r} in {shown(data)} ({layout}): {what}")
        chosen |= dict.fromkeys(matches)
    return [LAYOUTS[layout].read(data, name, photos) for name in chosen]


def pictures(folder: Path) -> tuple[Path, ...]:
    """The pictures of a folder, by name."""
    if not folder.is_dir():
        return ()
    return tuple(sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")))


def folders(data: Path, depth: int = 1) -> list[str]:
    """The folders `depth` levels below a folder, as names with slashes."""
    paths = [p for p in data.glob("/".join(["*"] * depth)) if p.is_dir() and not p.name.startswith(".")]
    return sorted(p.relative_to(data).as_posix() for p in paths)


def split(name: str, kind: str, thing: str, paths: Sequence[Path], photos: int) -> Subject:
    """The first `photos` pictures are protected and as many after them held out; at least one is always held out."""
    if len(paths) < 2:
        raise UsageError(f"subject {name!r} has {len(paths)} pictures: give 2 or more, one of them is held out")
    count = min(photos, len(paths) - 1)
    return Subject(name, kind, thing, tuple(paths[:count]), tuple(paths[count : count + photos]))


def read_object(data: Path, name: str, photos: int) -> Subject:
    """A folder of photographs; ``duck_toy`` is a duck toy, and the second dog is a dog."""
    thing = name.rpartition("/")[2].replace("_", " ").rstrip("0123456789 ")
    return split(name, OBJECT, thing, pictures(data / name), photos)


def read_person(data: Path, name: str, photos: int) -> Subject:
    """An identity's three sets: A is for reference, B is protected and learned, C is held out."""
    reference, protected, held_out = (pictures(data / name / part)[:photos] for part in SETS)
    if not protected or not held_out:
        raise UsageError(f"subject {name!r} has no pictures in set_B or set_C: an identity has set_A, set_B and set_C")
    return Subject(name, PERSON, "person", protected, held_out, reference)


def read_style(data: Path, name: str, photos: int) -> Subject:
    """A folder of one painter's pictures, or the files ``STYLE/ARTIST_TITLE.jpg``, as WikiArt has them."""
    paths = pictures(data / name)
    if not paths:
        folder, artist = os.path.split(name)
        paths = tuple(p for p in pictures(data / folder) if artist_of(p) == artist)
    return split(name, STYLE, "", paths, photos)


def artist_of(path: Path) -> str:
    return path.name.partition("_")[0]


def identities(data: Path) -> list[str]:
    return [name for name in folders(data) if (data / name / SETS[1]).is_dir()]


def artists(data: Path) -> list[str]:
    """``STYLE/ARTIST``, of folders and of files."""
    styles = [data / name for name in folders(data)]
    loose = {f"{style.name}/{artist_of(p)}" for style in styles for p in pictures(style) if "_" in p.name}
    return sorted({*folders(data, 2), *loose})


KINDS = {"objects": read_object, "people": read_person, "styles": read_style}


def own(data: Path) -> list[str]:
    """``objects/NAME``, ``people/NAME``, ``styles/NAME``."""
    return [name for kind in KINDS for name in folders(data, 2) if name.startswith(f"{kind}/")]


def read_own(data: Path, name: str, photos: int) -> Subject:
    return KINDS[name.partition("/")[0]](data, name, photos)


LAYOUTS = {
    "folders": Layout(own, read_own),
    "celeba-hq": Layout(identities, read_person),
    "vggface2": Layout(identities, read_person),
    "wikiart": Layout(artists, read_style),
    "dreambooth": Layout(folders, read_object),
}
