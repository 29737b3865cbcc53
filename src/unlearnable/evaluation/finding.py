"""A doubt about a measurement, for people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A doubt, under the `id` that docs/limits.md explains. A `grave` one stands beside the verdict."""

    id: str
    text: str
    grave: bool = False

    @property
    def see(self) -> str:
        return f"docs/limits.md#{self.id}"
