"""A doubt about a measurement, for people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A doubt, under the `id` that docs/explanation/limits.md explains. A `grave` one stands beside the verdict."""

    id: str
    text: str
    grave: bool = False

    @property
    def see(self) -> str:
        return f"docs/explanation/limits.md#{self.id}"
