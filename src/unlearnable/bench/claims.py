"""Claims let two runs on one store share the work: no run does a cell that another run is doing.

A claim is a lock on one byte of a file. The system drops it when its process ends, however that happens. Windows has
no such locks: there every claim is granted.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from unlearnable.errors import WriteError, shown

NAME = "claims.lock"


@dataclass
class Claims:
    """The claims of one process on a store's folder."""

    file: int

    @classmethod
    def open(cls, folder: Path) -> Claims:
        """Open the folder's claims. Raises WriteError where the folder cannot be written to."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return cls(os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o666))
        except OSError as error:
            remedy = "choose a folder that you may write to"
            raise WriteError(f"{shown(folder)} cannot be written to ({error.strerror}): {remedy}") from error

    def take(self, what: str, wait: bool = False) -> bool:
        """Claim `what`; False where another process holds it. With `wait`, wait until that one is done."""
        try:
            import fcntl
        except ImportError:  # Windows
            return True
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, place(what))
        except BlockingIOError:
            return False
        return True

    def drop(self, what: str) -> None:
        try:
            import fcntl
        except ImportError:  # Windows
            return
        fcntl.lockf(self.file, fcntl.LOCK_UN, 1, place(what))

    def close(self) -> None:
        os.close(self.file)


def place(what: str) -> int:
    """The byte that stands for `what`. Two things on the same byte wait for each other, which does no harm."""
    return int.from_bytes(hashlib.sha256(what.encode()).digest()[:7], "big")
