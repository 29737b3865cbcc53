"""An estimate of the time that a run still takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Eta:
    """Estimates the remaining time from the work done since the first report; `clock` gives seconds."""

    clock: Callable[[], float] = time.monotonic
    first: tuple[float, float] | None = None

    def remaining(self, done: float, total: float) -> float | None:
        """Seconds, or None while nothing is known: rates from before the first report do not count."""
        now = self.clock()
        if self.first is None:
            self.first = now, done
        began, before = self.first
        if done <= before or now <= began:
            return None
        return (total - done) * (now - began) / (done - before)
