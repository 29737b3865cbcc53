"""An estimate of the time left, from the time that similar cells took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unlearnable.bench.plan import Task


@dataclass
class Pace:
    """Seconds and numbers of finished cells, by their kind, and by their kind and likeness."""

    took: dict[tuple[str, ...], tuple[float, int]] = field(default_factory=dict)

    def note(self, task: Task, facts: Mapping[str, Any]) -> None:
        for sort in sorts(task):
            seconds, count = self.took.get(sort, (0.0, 0))
            self.took[sort] = (seconds + facts.get("took", 0.0), count + 1)

    def expected(self, task: Task) -> float:
        """Seconds that a cell will take: the mean of the most similar ones; 0 where there are none."""
        taken = next((self.took[sort] for sort in sorts(task) if sort in self.took), (0.0, 1))
        return taken[0] / taken[1]

    def summary(self, tasks: Mapping[str, Task], key: str, left: Sequence[str], slots: int) -> str:
        """A line for the progress bar: what was done, and about how long the rest takes."""
        rest = sum(self.expected(tasks[other]) for other in left) / max(1, slots)
        about = f"about {spoken(rest)} left: " if left else ""
        return f"{about}{tasks[key].kind} {tasks[key].label}"


def sorts(task: Task) -> list[tuple[str, ...]]:
    return [(task.kind, task.like), (task.kind,)]


def spoken(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.1f} h"
