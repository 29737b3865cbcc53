"""The ledger: results of pictures by the journal and the files in the sink, and local copies of files behind URLs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unlearnable.errors import UnlearnableError, UsageError, shown
from unlearnable.jobs.result import Meter, Result
from unlearnable.jobs.sinks import Sink, fetched


@dataclass
class Spool:
    """Local copies of files behind URLs (`urls`), each there from `fetch` until `forget`."""

    urls: Mapping[Path, str] = field(default_factory=dict)

    def fetch(self, source: Path) -> None:
        if source in self.urls:
            data = fetched(self.urls[source])
            source.parent.mkdir(exist_ok=True)
            source.write_bytes(data)

    def forget(self, source: Path) -> None:
        if source in self.urls:
            source.unlink(missing_ok=True)

    def named(self, source: Path) -> Path | str:
        """The name that the user gave: the URL, or the path."""
        return self.urls.get(source, source)


@dataclass
class Ledger:
    """The results of one run into `sink`; only lines with the digest `settings` count."""

    sink: Sink
    settings: str
    meter: Meter
    overwrite: bool = False
    spool: Spool = field(default_factory=Spool)
    sources: frozenset[Path] = frozenset()

    def finished(self, name: Path, digest: str) -> dict[str, Any] | None:
        """The line of a picture that needs no work: it is done, its file exists, and `overwrite` is off."""
        entry = self.entry(name, digest)
        return entry if entry and not self.overwrite and self.sink.has(entry) else None

    def entry(self, name: Path, digest: str) -> dict[str, Any] | None:
        return self.sink.journal.done.get((name.as_posix(), digest, self.settings))

    def target(self, name: Path) -> Path | str:
        """The path or URL of an output; raises UsageError where an input lies there."""
        path = self.sink.at(name)
        is_input = path.resolve() in self.sources if isinstance(path, Path) else path in self.spool.urls.values()
        if is_input:  # a file whose name lies about its format slips past `find`
            raise UsageError(f"{shown(path)} is one of the inputs: choose another output folder with -o")
        return path

    def skipped(self, source: Path, name: Path, digest: str) -> Result:
        """The result of a picture that was finished before."""
        entry = self.sink.journal.done[(name.as_posix(), digest, self.settings)]
        self._close(source)
        output = self.sink.at(entry["output"])
        return Result(self.spool.named(source), "skipped", output, "finished before", dict(entry["measured"]))

    def failed(self, source: Path, error: UnlearnableError) -> Result:
        self._close(source)
        named = self.spool.named(source)
        return Result(named, "failed", message=str(error).replace(str(source), str(named)))

    def record(self, source: Path, entry: dict[str, Any]) -> dict[str, Any]:
        """Append the line of a file that is in its place; `entry` lacks source and settings."""
        line = entry | {"source": str(self.spool.named(source)), "recipe_hash": self.settings}
        self.sink.journal.append(line)
        return line

    def written(self, source: Path, line: dict[str, Any], status: str, notes: tuple[str, ...]) -> Result:
        """The result of a picture whose line is in the journal."""
        self._close(source)
        measured = {k: float("inf") if v is None else v for k, v in line["measured"].items()}
        output = self.sink.at(line["output"])
        return Result(self.spool.named(source), status, output, measured=measured, notes=notes)

    def _close(self, source: Path) -> None:
        self.meter.count(source)
        self.spool.forget(source)
