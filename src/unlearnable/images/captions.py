"""Captions: the text file of a picture's name, ``x.txt`` beside ``x.jpg``, as trainers of diffusion models read it."""

from __future__ import annotations

from pathlib import Path

from unlearnable.errors import PictureError, shown

LONGEST = 2000  # characters of a caption that are read


def caption(picture: Path) -> str | None:
    """The text beside a picture, on one line; None without a file. PictureError for one that is empty or no UTF-8."""
    beside = picture.with_suffix(".txt")
    if not beside.is_file():
        return None
    try:
        text = " ".join(beside.read_text(encoding="utf-8-sig")[:LONGEST].split())
    except (OSError, UnicodeDecodeError) as error:
        raise PictureError(f"cannot read the caption {shown(beside)}: make it UTF-8 text, or remove it") from error
    if not text:
        raise PictureError(f"the caption {shown(beside)} is empty: write what the picture shows, or remove the file")
    return text
