"""Write a picture atomically: its file is either complete or absent."""

import os
from pathlib import Path

from unlearnable.errors import UsageError, shown
from unlearnable.images.encode import encode
from unlearnable.images.formats import LOSSLESS, SUFFIXES
from unlearnable.images.picture import Picture
from unlearnable.storage.atomic import write_bytes


def write(
    picture: Picture,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    quality: int | None = None,
    keep_metadata: bool = False,
    mode: int | None = None,
) -> None:
    """Write `picture` to `path` atomically: at any time the path holds either the old or the complete new file.

    format         Pillow's name, from `output_format`; None takes it from the suffix if that format is lossless
    quality        1 to 100 for a lossy file; None is 95 for JPEG, 90 for AVIF, and lossless for WebP
    keep_metadata  also write the cleaned EXIF (GPS included), XMP and a PNG's texts
    mode           permissions (see `mode_of`), less those that the umask removes; None is the umask's default

    Raises UsageError for an invalid format or quality, PictureError if the format cannot hold this picture, and
    WriteError (a PictureError) if the file cannot be written, such as on a full disk. Missing folders are made.
    """
    path = Path(path)
    if format is None:
        format = SUFFIXES.get(path.suffix.lower())
        if format not in LOSSLESS:
            raise UsageError(
                f"{shown(path)} does not name a lossless format; use .png, or ask for a lossy one by format"
            )
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"quality {quality} is out of range; use 1 to 100")
    put(encode(picture, path, format=format, quality=quality, keep_metadata=keep_metadata), path, mode)


def mode_of(source: str | os.PathLike[str]) -> int | None:
    """The permissions of a file that is made from `source`: the same ones, with write permission for the owner."""
    try:
        return os.stat(source).st_mode & 0o666 | 0o200
    except OSError:
        return None


def put(data: memoryview, path: Path, mode: int | None = None) -> None:
    """Write the bytes of a file atomically; missing folders are made. Raises WriteError."""
    write_bytes(path, data, 0o666 if mode is None else mode)
