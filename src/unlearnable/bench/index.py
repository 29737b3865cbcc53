"""What is known of the cells of a plan: which are done, which came to nothing and why, which are still to do."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Any

from unlearnable.bench.pace import Pace
from unlearnable.bench.plan import Line, Plan
from unlearnable.evaluation.store import Store


@dataclass
class CellIndex:
    """`results` of cells, and the `failed` ones; with `retry`, failures of earlier runs do not count."""

    plan: Plan
    store: Store
    retry: bool = False
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, dict[str, str]] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)

    def todo(self, lines: Iterable[Line]) -> list[str]:
        """The cells that some rows still need, each behind those that it needs itself."""
        found: dict[str, None] = {}
        for line in lines:
            for key in self.of(line):
                self.demand(key, found)
        return list(found)

    def of(self, line: Line) -> list[str]:
        """The cells whose results a row tells."""
        made = [line.pictures.key] if line.pictures and line.pictures.key in self.plan.tasks else []
        return [*made, line.attack]

    def demand(self, key: str, todo: dict[str, None]) -> None:
        """Put a cell on the list, behind what it needs, unless it is done or known to come to nothing."""
        if key in todo or key not in self.plan.tasks or self.look(key) or key in self.failed:
            return
        task = self.plan.tasks[key]
        if not self.retry and (why := self.store.failure(task.cell)):
            self.failed[key] = why
            return
        for need in task.needs.values():
            self.demand(need.key, todo)
        todo[key] = None

    def look(self, key: str) -> bool:
        """Whether a cell is done; its result is remembered."""
        if key not in self.results:
            found = self.store.get(self.plan.tasks[key].cell)
            if found is not None:
                self.results[key] = found
                self.pace.note(self.plan.tasks[key], found)
        return key in self.results

    def why(self, key: str, there: Container[str]) -> dict[str, str] | None:
        """Why a cell came to nothing: by itself, or because one that it needs did. `there` are the store's keys."""
        if key not in self.plan.tasks or key in self.results:
            return None
        task = self.plan.tasks[key]
        if found := self.failed.get(key) or (self.store.failure(task.cell) if key in there else None):
            return found
        found = next((why for n in task.needs.values() if (why := self.why(n.key, there))), None)
        return found and inherited(found)


def inherited(why: dict[str, str]) -> dict[str, str]:
    said = why["message"]
    start = "the pictures for it could not be made: "
    return {"status": why["status"], "message": said if said.startswith(start) else start + said}
