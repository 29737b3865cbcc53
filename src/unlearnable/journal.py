"""What a run has done, one JSON object a line, so that the same command goes on where the last one stopped.

A line is appended after its file is in place. A line cut short by a crash is ignored: its file is made again, the same.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unlearnable.errors import SetupError, UsageError, shown

NAME = "unlearnable.jsonl"


@dataclass
class Journal:
    """`done` maps (relative name of the source, hash of its bytes, recipe hash) to the line written for it."""

    path: Path
    done: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, out: Path) -> Journal:
        """The journal of an output folder, which is made if need be."""
        try:
            out.mkdir(parents=True, exist_ok=True)
            path = out / NAME
            text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
            if text and not text.endswith("\n"):  # a crash cut the last line: close it, so that the next one is whole
                with path.open("a", encoding="utf-8") as file:
                    file.write("\n")
        except OSError as error:
            raise UsageError(
                f"cannot use {shown(out)!r} as the output folder: name another with -o ({error.strerror})"
            ) from error
        journal = cls(path)
        journal.done = {key(entry): entry for entry in lines(text) if "input_sha256" in entry}
        return journal

    def append(self, entry: dict[str, Any]) -> None:
        """Add a line and see it onto the disk. Raises SetupError where that fails; the run cannot go on without."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, sort_keys=True) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            remedy = f"{error.strerror}: make room or choose another output folder, and run the same command again"
            raise SetupError(f"the journal {shown(self.path)} cannot be written ({remedy})") from error
        if "input_sha256" in entry:
            self.done[key(entry)] = entry


def lines(text: str) -> Iterator[dict[str, Any]]:
    """The whole lines of a journal: those of runs, and those of files."""
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(entry, dict):
            yield entry


def key(entry: dict[str, Any]) -> tuple[str, str, str]:
    return entry["name"], entry["input_sha256"], entry["recipe_hash"]
