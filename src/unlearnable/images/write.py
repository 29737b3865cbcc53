"""Write a picture so that its file is either whole or not there."""

import errno
import hashlib
import io
import os
from pathlib import Path

from unlearnable.errors import UsageError, WriteError, shown
from unlearnable.images.encode import encode
from unlearnable.images.formats import LOSSLESS, SUFFIXES
from unlearnable.images.picture import Picture

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write(
    picture: Picture,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    quality: int | None = None,
    keep_metadata: bool = False,
    mode: int | None = None,
) -> None:
    """Write `picture` to `path`, atomically: whoever looks, whenever, finds the old or the whole new file.

    format         Pillow's name, from `output_format`; None takes it from the suffix if that format is lossless
    quality        1 to 100 for a lossy file; None is 95 for JPEG, 90 for AVIF, and lossless for WebP
    keep_metadata  also write the cleaned EXIF (GPS included), XMP and a PNG's texts
    mode           who may read and write it (`like`), less what the umask takes away; None is whatever that leaves

    Raises UsageError for a format or quality that makes no sense, PictureError if the format cannot hold this picture,
    and WriteError (a PictureError) if the file cannot be written, such as on a full disk. Missing folders are made.
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


def like(source: str | os.PathLike[str]) -> int | None:
    """The permissions of a file that is made from `source`: those of `source`, and its owner may write it."""
    try:
        return os.stat(source).st_mode & 0o666 | 0o200
    except OSError:
        return None


def put(data: memoryview, path: Path, mode: int | None = None) -> None:
    """Write the bytes of a file, atomically. Raises WriteError; missing folders are made."""
    # Named after the file it becomes, and so a run that was killed leaves at most one behind, which the next overwrites
    temporary = path.parent / f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:24]}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(data, temporary, path, 0o666 if mode is None else mode)
    except (OSError, ValueError) as error:
        raise _write_error(error, path) from error


def _replace(data: memoryview, temporary: Path, path: Path, mode: int) -> None:
    temporary.unlink(missing_ok=True)  # O_EXCL: a link planted under this name is not followed
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        with io.FileIO(os.open(temporary, flags, mode), "w") as file:
            while data:
                data = data[file.write(data) or 0 :]
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:  # also on Ctrl-C
        temporary.unlink(missing_ok=True)
        raise


def _write_error(error: OSError | ValueError, path: Path) -> WriteError:
    code = error.errno if isinstance(error, OSError) else None
    if code in _FULL:
        return WriteError(f"{shown(path)} was not written as the disk is full; free some space and run again")
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return WriteError(f"{shown(path)} may not be written; choose an output folder that you may write to")
    if code == errno.ENAMETOOLONG or code is None:
        return WriteError(f"{shown(path)} is not a name this disk accepts; shorten or rename the file")
    if code in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST):
        return WriteError(f"{shown(path)} cannot be written as a file or folder of that name is in the way; move it")
    reason = os.strerror(code)
    return WriteError(f"{shown(path)} could not be written ({reason}); check the output folder")
