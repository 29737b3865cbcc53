"""Readers of subjects on disk, one for each layout: which photographs are protected and which are held out.

Our own folders, and the four data sets of the LDU paper (arXiv 2510.03089): identities of CelebA-HQ and VGGFace2 in the
sets of Anti-DreamBooth (arXiv 2303.15433) or as their owners hand them out, WikiArt by artist, DreamBooth's objects.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from unlearnable.errors import UsageError, shown, suggestion
from unlearnable.images.captions import caption
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

    def captions(self, token: str, template: str = "") -> tuple[str | None, ...]:
        """The texts beside the pictures that are learned, with `token` for `sks`; empty where there are none.

        A recipe's own words (`template`) replace them too. PictureError for a caption that is empty or no UTF-8.
        """
        texts = () if template else tuple(caption(path) for path in self.protected)
        return tuple(text and re.sub(r"\bsks\b", token, text) for text in texts) if any(texts) else ()


@dataclass(frozen=True)
class Layout:
    """How subjects lie in a folder: in words, a reader of their names, and a reader of one subject."""

    looks: str
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
    if not names:
        raise UsageError(f"{shown(data)} is laid out otherwise than {layout}: give {LAYOUTS[layout].looks}")
    chosen: dict[str, None] = {}
    for name in patterns:
        matches = [each for each in names if fnmatchcase(each, name)]
        if not matches:
            raise UsageError(f"no subject {name!r} in {shown(data)} ({layout}): {suggestion(name, names)}")
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
    """A folder of photographs; ``duck_toy`` is a duck toy, and the second dog is a dog.

    DreamBooth's own list of classes, ``prompts_and_classes.txt``, knows better where it lies beside the folders.
    """
    table = data / "prompts_and_classes.txt"
    lines = table.read_text(encoding="utf-8", errors="replace").splitlines() if table.is_file() else []
    listed = dict(line.strip().split(",") for line in lines if line.count(",") == 1)
    thing = listed.get(name) or name.rpartition("/")[2].replace("_", " ").rstrip("0123456789 ")
    return split(name, OBJECT, thing, pictures(data / name), photos)


def read_person(data: Path, name: str, photos: int) -> Subject:
    """An identity's three sets: A is for reference, B is protected and learned, C is held out.

    A folder of pictures without sets is cut into them by name.
    """
    loose = pictures(data / name)
    if loose and not (data / name / SETS[1]).is_dir():
        return thirds(name, loose, photos)
    reference, protected, held_out = (pictures(data / name / part)[:photos] for part in SETS)
    if not protected or not held_out:
        raise UsageError(f"subject {name!r} has no pictures in set_B or set_C: an identity has set_A, set_B and set_C")
    return Subject(name, PERSON, "person", protected, held_out, reference)


def thirds(name: str, paths: Sequence[Path], photos: int) -> Subject:
    """Anti-DreamBooth's cut of an identity: `photos` pictures for each of the sets A, B and C, a third at most."""
    count = min(photos, len(paths) // 3)
    if not count:
        raise UsageError(f"subject {name!r} has {len(paths)} pictures: give 3 or more, one for each set")
    a, b, c = (tuple(paths[i * count : (i + 1) * count]) for i in range(3))
    return Subject(name, PERSON, "person", b, c, a)


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
    """Folders with sets; in VGGFace2 as it is handed out also ``train/n000002`` and ``test/n000001``, without sets."""
    raw = [name for name in folders(data, 2) if name.partition("/")[0] in ("train", "test")]
    return [name for name in folders(data) if (data / name / SETS[1]).is_dir()] + raw


def celebrities(data: Path) -> list[str]:
    return [*identities(data), *(name for name, paths in celeba(data).items() if len(paths) >= len(SETS))]


def read_celebrity(data: Path, name: str, photos: int) -> Subject:
    paths = celeba(data).get(name)
    return thirds(name, paths, photos) if paths else read_person(data, name, photos)


def celeba(data: Path) -> dict[str, list[Path]]:
    """CelebA-HQ's pictures by identity, from its two tables: which picture of CelebA each is, and whom those show."""
    mapping, people = data / "CelebA-HQ-to-CelebA-mapping.txt", data / "identity_CelebA.txt"
    if not (mapping.is_file() and people.is_file()):
        return {}
    found: dict[str, list[Path]] = {}
    try:
        who = dict(line.split() for line in people.read_text().splitlines() if line.strip())
        for number, _, original in (line.split() for line in mapping.read_text().splitlines()[1:] if line.strip()):
            found.setdefault(who[original], []).append(data / "CelebA-HQ-img" / f"{number}.jpg")
    except (ValueError, KeyError) as error:
        raise UsageError(
            f"the tables of CelebA-HQ in {shown(data)} are not its own ({error}): get them again"
        ) from error
    return {name: [path for path in paths if path.is_file()] for name, paths in found.items()}


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
    "folders": Layout("objects/NAME, people/NAME/set_A, set_B, set_C, or styles/NAME", own, read_own),
    "celeba-hq": Layout(
        "NAME/set_A, set_B, set_C, or CelebA-HQ-img with CelebA-HQ-to-CelebA-mapping.txt and identity_CelebA.txt",
        celebrities,
        read_celebrity,
    ),
    "vggface2": Layout("NAME/set_A, set_B, set_C, or train/NAME and test/NAME", identities, read_person),
    "wikiart": Layout("STYLE/ARTIST_TITLE.jpg, or folders STYLE/ARTIST", artists, read_style),
    "dreambooth": Layout("a folder of pictures for each object", folders, read_object),
}
