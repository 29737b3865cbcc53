"""Local copies of pictures that lie behind URLs, each for as long as it is worked on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from unlearnable.jobs.sinks import fetched


@dataclass
class Spool:
    """Local copies of what lies behind URLs (`urls`), each there from `fetch` until `forget`."""

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
        """What the user calls it."""
        return self.urls.get(source, source)
