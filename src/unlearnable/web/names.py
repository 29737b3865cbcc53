"""Names and paths that a browser sends, none of which is believed."""

from __future__ import annotations

import os
import stat
import unicodedata
from pathlib import Path

LONGEST = 150  # bytes of a name, so that what is added to it fits too


def plain_file(path: Path, folder: Path) -> bool:
    """Whether `path` is a regular file below `folder`, without any link on the way."""
    try:
        inside = path.is_absolute() and path.resolve() == Path(os.path.abspath(path))
        return inside and path.is_relative_to(folder.resolve()) and stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError, RuntimeError):
        return False


def harmless(name: str) -> str:
    """A file name that leads nowhere, hides nothing and can be written on every system."""
    name = name.replace("\\", "/").rpartition("/")[2]
    name = "".join(c for c in name if c.isprintable() and not 0xD800 <= ord(c) < 0xE000)
    name = name.strip().lstrip(".").strip() or "picture"
    stem, suffix = os.path.splitext(name)
    suffix = suffix if len(suffix.encode()) <= 16 else ""
    stem = stem if suffix else name
    return stem.encode()[: LONGEST - len(suffix.encode())].decode(errors="ignore") + suffix


def key(name: str) -> str:
    """What two names share whose outputs would be one file on some system."""
    return unicodedata.normalize("NFC", os.path.splitext(name)[0]).casefold()


def free(name: str, taken: set[str]) -> str:
    """`name`, or the same with a number where it is taken."""
    stem, suffix = os.path.splitext(name)
    number = 2
    while key(name) in taken:
        name, number = f"{stem} ({number}){suffix}", number + 1
    return name
