"""A lock that allows one run at a time in an output folder. The system drops it when the process ends."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unlearnable.errors import UsageError, shown

NAME = ".unlearnable.lock"
_UNSUPPORTED = {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}


@contextmanager
def alone(folder: Path, shared_by: str = "") -> Iterator[None]:
    """Lock `folder`, which is made if it does not exist. Raises UsageError where another run holds it.

    Runs with the same `shared_by` (a hash of their work) may hold it together. On disks without locks nothing is held.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        raise UsageError(
            f"cannot use {shown(folder)!r} as the output folder: name another with -o ({error.strerror})"
        ) from error
    try:
        take(descriptor, folder, shared_by)
        yield
    finally:
        os.close(descriptor)


def take(descriptor: int, folder: Path, shared_by: str) -> None:
    """Lock an open file and write this process into it, or raise UsageError that names the process that holds it."""
    try:
        if lock(descriptor, False):
            holder = f"{os.getpid()}\n{shared_by}\n{' '.join(sys.argv)[:500]}\n"
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, holder.encode("utf-8", "replace"), 0)
            if shared_by:
                lock(descriptor, True)
            return
        pid, shared, command = [*os.pread(descriptor, 4096, 0).decode("utf-8", "replace").split("\n"), "", "", ""][:3]
        if shared_by and shared == shared_by and lock(descriptor, True):
            return
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return
        raise
    raise UsageError(
        f"another run (process {pid or 'unknown'}: {shown(command) or 'unknown'}) is writing to {shown(folder)}: "
        "wait for it, stop it, or choose another output folder with -o"
    )


def lock(descriptor: int, shared: bool) -> bool:
    """Try to take the lock; True on success, and always on Windows."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
