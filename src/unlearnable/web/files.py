"""Private places for what people upload: a folder that only this user may enter, and that goes when the page does."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unlearnable.images.limits import DEFAULT
from unlearnable.web.names import free, harmless, key, plain_file

MOST_FILES = 500
MOST_BYTES = 4 * 2**30  # of one visitor
GRACE = 900.0  # seconds for which a closed tab's pictures wait for a reload


@dataclass
class Session:
    """One browser's folders: `inside` holds what it uploaded, `shown` what the page may show and give away."""

    inside: Path
    shown: Path
    stop: threading.Event = field(default_factory=threading.Event)
    notes: dict[str, Any] = field(default_factory=dict)  # what tabs remember: the last results
    tabs: int = 0
    left: float | None = field(default_factory=time.monotonic)

    def enter(self) -> None:
        """A tab was opened, or reloaded."""
        self.tabs, self.left = self.tabs + 1, None

    def leave(self) -> None:
        """A tab was closed, or is being reloaded."""
        self.tabs = max(0, self.tabs - 1)
        self.left = None if self.tabs else time.monotonic()

    def begin(self) -> threading.Event:
        """What stops the next job; the one before is stopped."""
        self.stop.set()
        self.stop = threading.Event()
        return self.stop

    def slot(self, name: str) -> Path:
        folder = self.inside / name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def out(self, name: str) -> Path:
        folder = self.shown / name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def pictures(self, slot: str) -> list[Path]:
        return sorted(path for path in self.slot(slot).iterdir() if path.is_file())

    def clear(self) -> None:
        """Delete everything of this browser."""
        self.stop.set()
        self.notes.clear()
        for folder in (self.inside, self.shown):
            shutil.rmtree(folder, ignore_errors=True)

    def take(self, uploads: Iterable[Mapping[str, Any]], slot: str, source: Path) -> list[str]:
        """Move files from the page's upload folder `source` into a slot; a sentence for each that is refused.

        Neither a path nor a name is believed: files have to lie in `source` as plain files, names are made harmless.
        """
        folder, refused = self.slot(slot), []
        count = len(self.pictures(slot))
        used = sum(path.stat().st_size for path in self.inside.rglob("*") if path.is_file())
        taken = {key(path.name) for path in folder.iterdir()}
        for upload in uploads:
            path, name = Path(str(upload.get("path", ""))), harmless(str(upload.get("orig_name") or ""))
            if not plain_file(path, source):
                refused.append(f"{name} is no file that was uploaded here.")
                continue
            size = path.stat().st_size
            if reason := excess(name, size, count, used):
                refused.append(reason)
                path.unlink()
                continue
            name = free(name, taken)
            taken.add(key(name))
            os.replace(path, folder / name)
            count, used = count + 1, used + size
        return refused


def excess(name: str, size: int, count: int, used: int) -> str:
    """One sentence where a file goes beyond a limit."""
    if size > DEFAULT.max_bytes:
        return f"{name} is larger than {DEFAULT.max_bytes / 2**20:g} MB: export a smaller file."
    if count >= MOST_FILES:
        return f"{name} is left out: the page takes {MOST_FILES} pictures; for more use `unlearnable protect`."
    if used + size > MOST_BYTES:
        return f"{name} is left out: the page takes {MOST_BYTES / 2**30:g} GB; for more use `unlearnable protect`."
    return ""


class Room:
    """The page's private folder, mode 0700: uploads on their way, and the sessions of those who hold a cookie."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="unlearnable-ui-")).resolve()
        self.uploads, self.inside, self.shown = (self.root / name for name in ("uploads", "inside", "shown"))
        for folder in (self.uploads, self.inside, self.shown):
            folder.mkdir(mode=0o700)
        self.sessions: dict[str, Session] = {}

    def session(self, cookie: str) -> Session:
        """The session of a cookie, made when it is first asked for."""
        if cookie not in self.sessions:
            name = os.urandom(16).hex()
            self.sessions[cookie] = Session(self.inside / name, self.shown / name)
        return self.sessions[cookie]

    def sweep(self, now: float | None = None) -> None:
        """Delete the pictures of those who left and did not come back."""
        now = time.monotonic() if now is None else now
        for cookie, session in list(self.sessions.items()):
            if session.left is not None and now - session.left > GRACE:
                session.clear()
                self.sessions.pop(cookie, None)

    def close(self) -> None:
        for session in self.sessions.values():
            session.stop.set()
        shutil.rmtree(self.root, ignore_errors=True)
