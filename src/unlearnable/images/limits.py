"""Limits that are checked before decoding, so that a hostile file cannot exhaust the machine."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from unlearnable.errors import PictureError, shown


@dataclass(frozen=True)
class Limits:
    """Limits on the file's size and header, checked before its pixels are decoded.

    max_pixels  height x width; Pillow itself stops at about 179 million
    max_bytes   size of the file
    min_side    shortest side in pixels
    max_frames  pictures in the file (pages of a TIFF, frames of an animation); above 1, the first is used
    """

    max_pixels: int = 50_000_000
    max_bytes: int = 100 * 2**20
    min_side: int = 16
    max_frames: int = 1


DEFAULT = Limits()

_REASONS = {
    FileNotFoundError: "does not exist; check the name",
    PermissionError: "may not be read by you; change its permissions",
    IsADirectoryError: "is a folder; name the files inside it",
    NotADirectoryError: "does not exist; check the name",
}


def read_bytes(path: Path, limits: Limits = DEFAULT) -> bytes:
    """Return the bytes of a regular file of at most `limits.max_bytes`; PictureError otherwise.

    Devices and pipes are refused without waiting for them. The bytes are read once, so that the header that is checked
    is the one that is decoded, even if another program writes to the file meanwhile.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError
            if not stat.S_ISREG(status.st_mode):
                raise PictureError(f"{shown(path)} is not a file but a device or a pipe; name a picture file")
            if status.st_size > limits.max_bytes:
                raise _too_heavy(path, limits)
            data = file.read(min(status.st_size, limits.max_bytes) + 1)
    except OSError as error:
        reason = next((text for kind, text in _REASONS.items() if isinstance(error, kind)), None)
        reason = reason or f"cannot be read ({error.strerror or type(error).__name__}); check the disk and the name"
        raise PictureError(f"{shown(path)} {reason}") from error
    except ValueError as error:  # a null character in the name
        raise PictureError(f"{shown(path)} is not a valid file name; rename the file") from error
    if len(data) > limits.max_bytes:
        raise _too_heavy(path, limits)
    if not data:
        raise PictureError(f"{shown(path)} is empty; export or download it again")
    return data


def check_size(path: Path, width: int, height: int, limits: Limits = DEFAULT) -> None:
    """Raise PictureError if a picture whose header says `width` x `height` px is too large or too small."""
    if width * height > limits.max_pixels:
        raise too_large(path, limits.max_pixels, f"{width} x {height} px")
    if min(width, height) < limits.min_side:
        raise PictureError(
            f"{shown(path)} is {width} x {height} px; its shorter side must have at least {limits.min_side}, "
            "so enlarge it or leave it out"
        )


def too_large(path: Path, max_pixels: int, size: str = "too large") -> PictureError:
    """Return the error for a picture of more than `max_pixels` pixels."""
    most = f"at most {max_pixels / 1e6:g} million pixels are accepted"
    return PictureError(f"{shown(path)} is {size} but {most}; make it smaller")


def _too_heavy(path: Path, limits: Limits) -> PictureError:
    return PictureError(
        f"{shown(path)} is larger than {limits.max_bytes / 2**20:g} MB; export a smaller file or split it"
    )
