"""Atomic writes: at any time a path holds either the old file or the complete new one.

Every file is written through this module. The temporary file lies beside its target under a name that is made from the
target's, so that a killed run leaves at most one behind, which the next run removes. It is always created anew: a link
that somebody planted under its name is removed, not followed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from unlearnable.errors import DiskError, WriteError, shown

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_FLAGS = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
)


@contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[Path]:
    """Yield an empty temporary file to write; it replaces `path` when the block ends without an error.

    Missing folders are made. Raises DiskError where other files could not be written either (a full disk, a folder
    without permission), and WriteError where only this file could not.
    """
    temporary = path.parent / f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:24]}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        os.close(os.open(temporary, _FLAGS, mode))
        try:
            yield temporary
            descriptor = os.open(temporary, os.O_RDWR)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temporary, path)
        except BaseException:  # also on Ctrl-C
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise failure(error, path) from error
    except ValueError as error:  # a name with a null character
        raise WriteError(f"{shown(path)} is not a name this disk accepts; shorten or rename the file") from error
    except Exception as error:
        code = next((code for code in _FULL if f"os error {code}" in str(error)), None)  # safetensors' wording
        if code is None:
            raise
        raise failure(OSError(code, os.strerror(code)), path) from error


def check_writable(path: Path) -> None:
    """Raise what `replacing` would raise for a file that is written at the end of a long run."""
    if path.is_dir():
        raise failure(IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)), path)
    with suppress(_NeverMind), replacing(path):
        raise _NeverMind


class _NeverMind(BaseException):
    """Leaves `replacing` without replacing anything."""


def write_bytes(path: Path, data: bytes | memoryview, mode: int = 0o666) -> None:
    """Write the bytes of a file. Raises what `replacing` raises."""
    with replacing(path, mode) as temporary, temporary.open("r+b") as file:
        file.write(data)


def write_text(path: Path, text: str, mode: int = 0o666) -> None:
    """Write a text as UTF-8. Raises what `replacing` raises."""
    write_bytes(path, text.encode("utf-8"), mode)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay SIGINT and SIGTERM until the block ends, so that a file and its line in the journal are written together.

    Only the main thread receives signals; in other threads this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pending: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    replaced = [number for number, handler in handlers.items() if callable(handler)]
    for number in replaced:
        signal.signal(number, lambda arrived, _: pending.append(arrived))
    try:
        yield
    finally:
        for number in replaced:
            signal.signal(number, handlers[number])
        if pending:
            signal.raise_signal(pending[0])


@contextmanager
def whole_files(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder for libraries that write files themselves; at the end its files move to `folder`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".", suffix=".part", dir=folder) as name:
            beside = Path(name)
            yield beside
            for file in sorted(path for path in beside.rglob("*") if path.is_file()):
                target = folder / file.relative_to(beside)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, target)
    except OSError as error:
        raise failure(error, folder) from error


def failure(error: OSError, path: Path) -> WriteError:
    """The WriteError for an error of the system, with the remedy."""
    code = error.errno
    if code in _FULL:
        return DiskError(f"{shown(path)} was not written as the disk is full; free some space and run again")
    if code in _FORBIDDEN:
        return DiskError(f"{shown(path)} may not be written; choose an output folder that you may write to")
    if code == errno.ENAMETOOLONG:
        return WriteError(f"{shown(path)} is not a name this disk accepts; shorten or rename the file")
    if code in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST):
        return WriteError(f"{shown(path)} cannot be written as a file or folder of that name is in the way; move it")
    reason = os.strerror(code) if code else str(error)
    return DiskError(f"{shown(path)} could not be written ({reason}); check the output folder and run again")
