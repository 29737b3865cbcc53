"""The state of a plan's cells: which are done, which failed and why, and which are still to do."""

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
        """The keys of cells that these rows still need, each after the cells that it depends on."""
        ordered: dict[str, None] = {}
        for line in lines:
            for key in self.of(line):
                self.demand(key, ordered)
        return list(ordered)

    def of(self, line: Line) -> list[str]:
        """The keys of the cells whose results a row reports."""
        pictures = [line.pictures.key] if line.pictures and line.pictures.key in self.plan.tasks else []
        return [*pictures, line.attack]

    def demand(self, key: str, todo: dict[str, None]) -> None:
        """Append a cell to `todo` after its dependencies, unless it is done or has failed."""
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
        """Whether a cell is done; a result from the store is remembered."""
        if key not in self.results:
            result = self.store.get(self.plan.tasks[key].cell)
            if result is not None:
                self.results[key] = result
                self.pace.note(self.plan.tasks[key], result)
        return key in self.results

    def why(self, key: str, there: Container[str]) -> dict[str, str] | None:
        """Why a cell failed, itself or one that it depends on; None otherwise. `there` are the store's keys."""
        if key not in self.plan.tasks or key in self.results:
            return None
        task = self.plan.tasks[key]
        if reason := self.failed.get(key) or (self.store.failure(task.cell) if key in there else None):
            return reason
        reason = next((why for n in task.needs.values() if (why := self.why(n.key, there))), None)
        return reason and inherited(reason)


def inherited(why: dict[str, str]) -> dict[str, str]:
    message = why["message"]
    start = "the pictures for it could not be made: "
    return {"status": why["status"], "message": message if message.startswith(start) else start + message}
