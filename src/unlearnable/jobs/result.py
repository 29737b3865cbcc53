"""Results of a run: one for each picture, and its progress."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Progress = Callable[[float, int], None]  # (pictures done, with fractions; pictures in all)


@dataclass(frozen=True)
class Result:
    """The result for one input.

    `status` is protected (or purified), skipped (finished before) or failed (`message` says why). A file behind a URL
    is named by the URL.
    """

    source: Path | str
    status: str
    output: Path | str | None = None
    message: str = ""
    measured: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass
class Meter:
    """Counts finished work in pictures; `work` weighs each by what it costs (without weights, all alike)."""

    progress: Progress | None
    total: int
    work: dict[Path, float] = field(default_factory=dict)
    finished: int = 0
    spent: float = 0.0
    reported: float = 0.0

    def count(self, source: Path) -> None:
        """A picture is done, or failed."""
        self.finished += 1
        self.spent += self.work.get(source, 0.0)
        self.tell()

    def tell(self, within: float = 0.0) -> None:
        """Report the share of all work that is done; `within` is the part of the present group's.

        Progress never goes back: a group is worked on before its pictures are counted.
        """
        work = sum(self.work.values())
        share = (self.spent + within) / work if work else self.finished / max(1, self.total)
        self.reported = max(self.reported, min(1.0, share) * self.total)
        if self.progress:
            self.progress(self.total if self.finished == self.total else self.reported, self.total)


def finite(measured: Mapping[str, float | None]) -> dict[str, float | None]:
    """JSON has no infinity: an unchanged picture's PSNR is null."""
    return {k: v if v is not None and math.isfinite(v) else None for k, v in measured.items()}
