"""What the page shows and gives away of pictures: pairs for the slider, the difference amplified, a ZIP of results."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from unlearnable.errors import PictureError
from unlearnable.images import files
from unlearnable.images.compare import amplified

LARGEST = 1600  # px of the longer side of what is shown; downloads have all pixels
THUMBNAIL = 160  # px of the longer side of what is shown while a job goes on
PIECE = 256  # px of the piece on which strengths are tried


@dataclass(frozen=True)
class Look:
    """Files for the eye, of one `size` (height, width): `gain` says by how much the difference is amplified, `scale` by
    how much all are reduced."""

    before: Path
    after: Path
    difference: Path
    gain: int
    scale: float
    size: tuple[int, int]


def look(source: Path, protected: Path, folder: Path) -> Look:
    """A picture and its twin, of one size. Raises PictureError where they cannot be compared."""
    before, after = files.read(source), files.read(protected)
    if before.pixels.shape != after.pixels.shape:
        raise PictureError(f"{source.name} and its twin differ in size: compare a picture with its own twin")
    change, gain = amplified(before.pixels, after.pixels)
    height, width = before.pixels.shape[:2]
    scale = min(1.0, LARGEST / max(height, width))
    parts = {"before": before, "after": after, "difference": files.Picture(change)}
    paths = {part: folder / f"{source.stem}.{part}.png" for part in parts}
    for part, picture in parts.items():
        files.write(small := sized(picture, scale), paths[part], format="PNG")
    height, width = small.pixels.shape[:2]
    return Look(**paths, gain=gain, scale=scale, size=(height, width))


def thumbnail(source: Path, folder: Path) -> Path:
    """A small copy of a picture, made once."""
    path = folder / f"{source.stem}.{source.stat().st_mtime_ns}.png"
    if not path.exists():
        picture = files.read(source)
        files.write(sized(picture, THUMBNAIL / max(picture.pixels.shape[:2])), path, format="PNG")
    return path


def sized(picture: files.Picture, scale: float) -> files.Picture:
    """The picture, smaller by `scale`."""
    if scale >= 1:
        return picture
    height, width = picture.pixels.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))

    def smaller(samples: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(samples).resize(size, Image.Resampling.LANCZOS))

    alpha = None if picture.alpha is None else smaller(picture.alpha)
    return replace(picture, pixels=smaller(picture.pixels), alpha=alpha)


def piece(source: Path, folder: Path) -> Path:
    """The middle of a picture as a PNG of at most `PIECE` px squared; its shorter side is at most twice that first."""
    picture = files.read(source)
    small = sized(picture, 2 * PIECE / min(picture.pixels.shape[:2]))
    height, width = small.pixels.shape[:2]
    top, left = max(0, (height - PIECE) // 2), max(0, (width - PIECE) // 2)

    def middle(samples: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(samples[top : top + PIECE, left : left + PIECE])

    alpha = None if small.alpha is None else middle(small.alpha)
    path = folder / "piece.png"
    files.write(replace(small, pixels=middle(small.pixels), alpha=alpha), path, format="PNG")
    return path


def first_readable(sources: Sequence[Path]) -> Path:
    """The first picture that can be read; raises PictureError where none can."""
    failed = None
    for source in sources:
        try:
            files.read(source)
            return source
        except PictureError as error:
            failed = failed or error
    raise failed or PictureError("There are no pictures yet: add some first.")


def packed(results: Iterable[Path], path: Path) -> Path:
    """A ZIP of files under their own names, as they are: pictures do not get smaller."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for result in results:
            archive.write(result, result.name)
    return path
