"""The journal of a run, one JSON object a line, from which a repeated command resumes.

A line is appended after its file is in place. A line that a crash cut short is ignored: its file is made again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unlearnable.errors import SetupError, UsageError, shown

NAME = "unlearnable.jsonl"
FIELDS: dict[str, type] = {
    "name": str, "input_sha256": str, "recipe_hash": str, "output": str, "bytes": int, "measured": dict,
}  # fmt: skip


@dataclass
class Journal:
    """`done` maps (relative name of the source, hash of its bytes, recipe hash) to the line that counts for it."""

    path: Path
    done: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    outputs: dict[str, tuple[str, str, str]] = field(default_factory=dict)

    @classmethod
    def open(cls, out: Path) -> Journal:
        """Open the journal of an output folder, which is made if it does not exist."""
        try:
            out.mkdir(parents=True, exist_ok=True)
            path = out / NAME
            text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
            if text and not text.endswith("\n"):  # a crash cut the last line: end it before the next one
                with path.open("a", encoding="utf-8") as file:
                    file.write("\n")
        except OSError as error:
            raise UsageError(
                f"cannot use {shown(out)!r} as the output folder: name another with -o ({error.strerror})"
            ) from error
        journal = cls(path)
        for entry in lines(text):
            journal.note(entry)
        return journal

    def append(self, entry: dict[str, Any]) -> None:
        """Append a line and flush it to the disk. Raises SetupError where that fails, as the run cannot go on."""
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, sort_keys=True) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            remedy = f"{error.strerror}: make room or choose another output folder, and run the same command again"
            raise SetupError(f"the journal {shown(self.path)} cannot be written ({remedy})") from error
        self.note(entry)

    def note(self, entry: dict[str, Any]) -> None:
        """Take in a file's line; lines of runs and incomplete lines are ignored.

        Only the last line about an output counts, as it describes what was written last.
        """
        if not all(type(entry.get(name)) is kind for name, kind in FIELDS.items()):
            return
        earlier = self.outputs.get(entry["output"])
        if earlier in self.done:
            del self.done[earlier]
        self.outputs[entry["output"]] = key(entry)
        self.done[key(entry)] = entry


def lines(text: str) -> Iterator[dict[str, Any]]:
    """The complete lines of a journal: those of runs, and those of files."""
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(entry, dict):
            yield entry


def key(entry: dict[str, Any]) -> tuple[str, str, str]:
    return entry["name"], entry["input_sha256"], entry["recipe_hash"]


def stamp() -> dict[str, Any]:
    """Versions and time, for a journal's line about a run."""
    from importlib.metadata import version

    packages = ("unlearnable", "torch", "diffusers", "transformers", "pillow")
    return {
        "versions": {name: version(name) for name in packages},
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
