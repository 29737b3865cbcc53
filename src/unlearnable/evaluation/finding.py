"""A doubt about a measurement, for people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A doubt; docs/explanation/limits.md explains its `id`. A `grave` one is shown beside the verdict."""

    id: str
    text: str
    grave: bool = False

    @property
    def see(self) -> str:
        return f"docs/explanation/limits.md#{self.id}"
