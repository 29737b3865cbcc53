"""Pictures scaled down to the size at which a platform shows them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from unlearnable.errors import PictureError, shown
from unlearnable.images.limits import DEFAULT
from unlearnable.images.metadata import resized
from unlearnable.images.picture import Picture
from unlearnable.images.read import read


def size_within(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width with the longer of them at most `side` px (0: as they are), in the same proportions."""
    longer = max(height, width)
    if not side or longer <= side:
        return height, width
    return max(1, round(height * side / longer)), max(1, round(width * side / longer))


def within(path: Path, side: int) -> Picture:
    """Read a picture file, and scale it so that its longer side has at most `side` px (0: as it is); never enlarge it.

    Raises PictureError for a file that cannot be used, and for a strip that would be thinner than any that is read.
    """
    picture = read(path)
    height, width = picture.pixels.shape[:2]
    size = size_within(height, width, side)
    if min(size) < DEFAULT.min_side:
        raise PictureError(
            f"{shown(path)} has {width} x {height} px, and would be {min(size)} px thin at a longer side of {side}: "
            "choose a larger size"
        )
    return picture if size == (height, width) else scaled(picture, *size)


def scaled(picture: Picture, height: int, width: int) -> Picture:
    """The picture at another size: Lanczos, antialiased, colours weighed by their opacity so that none bleeds."""
    samples = picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])
    smaller = np.array(Image.fromarray(samples).resize((width, height), Image.Resampling.LANCZOS))
    before = picture.pixels.shape
    return replace(
        picture,
        pixels=np.ascontiguousarray(smaller[..., :3]),
        alpha=None if picture.alpha is None else np.ascontiguousarray(smaller[..., 3]),
        exif=picture.exif and resized(picture.exif, height, width),
        notes=(*picture.notes, f"scaled from {before[1]} x {before[0]} to {width} x {height} px"),
    )
