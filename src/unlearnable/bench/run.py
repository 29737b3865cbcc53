"""Run a benchmark: do all cells of a study that are not done yet, and write ``rows.json``. To resume, run it again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unlearnable.bench import grid, rows
from unlearnable.bench.claims import Claims
from unlearnable.bench.executors import Executor
from unlearnable.bench.executors.serial import SerialExecutor
from unlearnable.bench.index import CellIndex, inherited
from unlearnable.bench.plan import ATTACK, Line, Plan, Task
from unlearnable.bench.study import Study
from unlearnable.bench.subjects import subjects
from unlearnable.bench.work import DONE, FAILED, Job, Outcome, bytes_of, real
from unlearnable.evaluation.store import Cell, Store, finite
from unlearnable.storage.atomic import write_text
from unlearnable.storage.locks import alone

CELLS = "cells"
EVERY = 60.0  # seconds between two writes of the rows
PAUSE = 1.0  # seconds between two looks at what another run is doing

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Bench:
    """The result of a run: rows and missing cells, as in ``rows.json`` at `path`."""

    path: Path
    rows: list[dict[str, Any]]
    missing: list[dict[str, Any]]

    @property
    def failed(self) -> list[dict[str, Any]]:
        return [line for line in self.missing if line["status"] != rows.WAITING]


def prepare(
    study: Study, only: Sequence[str] = (), store: Store | None = None, claims: Claims | None = None
) -> tuple[Plan, list[Line]]:
    """The whole plan, and the lines of the chosen points. With a store, the subjects' photographs are put there."""

    def keep(cell: Cell, x: Any) -> None:
        if store and claims:
            claims.take(cell.key, wait=True)
            if store.get(cell) is None:
                store.put(cell, {}, x)
            claims.drop(cell.key)

    by_name = {s.name: s for s in subjects(Path(study.data), study.layout, study.subjects, study.photos)}
    plan = Plan(study, by_name, keep)
    points = grid.points(study, list(by_name))
    left = set(grid.chosen(points, only)) if only else set(points)
    for point in points:
        plan.add(point)
    return plan, [line for line in plan.lines if line.point in left]


def bench(
    study: Study,
    out: str | Path,
    *,
    executor: Executor | None = None,
    threads: int = 0,
    only: Sequence[str] = (),
    retry: bool = False,
    minutes: float | None = None,
    command: str = "",
    progress: Progress | None = None,
) -> Bench:
    """Do all cells of a study, keep them under ``out/cells``, and write ``out/rows.json``.

    `executor` says where (default: here, one after the other), with `threads` of torch for each cell (0: unchanged).
    Cells that fail, or run out of memory or time, are noted and skipped; `retry` tries them again. `only` are texts
    such as ``method=advdm|ldu`` that select some of the points. No cell starts after `minutes`. `progress` is called
    with (cells done, cells in all, what was done and how long the rest takes). Two runs on one folder share the work.
    Raises UsageError and SetupError for a study that does not fit, WriteError on a full disk.
    """
    out, started = Path(out), time.monotonic()
    store, executor = Store(out / CELLS), executor or SerialExecutor()
    with alone(out, shared_by=hashed(study, only)):
        return _done(study, out, store, executor, threads, only, retry, minutes, started, command, progress)


def hashed(study: Study, only: Sequence[str]) -> str:
    """A hash of what two runs must have in common to work on one folder."""
    return hashlib.sha256(repr((study, sorted(only))).encode()).hexdigest()[:16]


def _done(
    study: Study, out: Path, store: Store, executor: Executor, threads: int, only: Sequence[str], retry: bool,
    minutes: float | None, started: float, command: str, progress: Progress | None,
) -> Bench:  # fmt: skip
    claims = Claims.open(out / CELLS)
    try:
        plan, lines = prepare(study, only, store, claims)
        until = None if minutes is None else started + 60 * minutes
        tell = progress or (lambda done, total, what: None)
        run = Run(CellIndex(plan, store, retry), out, executor, claims, threads, until, command, tell)
        try:
            run.all(lines)
        finally:
            result = run.write()
    finally:
        executor.close()
        claims.close()
    return result


def pending(study: Study, out: Path, only: Sequence[str] = ()) -> tuple[list[Task], int]:
    """The tasks that a run would do, and how many rows the study has; nothing is written."""
    plan, lines = prepare(study, only)
    return [plan.tasks[key] for key in CellIndex(plan, Store(out / CELLS)).todo(lines)], len(lines)


@dataclass
class Run:
    """The state of a run: its cells, its folder, its executor and whom it tells of progress."""

    index: CellIndex
    out: Path
    executor: Executor
    claims: Claims
    threads: int
    until: float | None
    command: str
    tell: Progress
    written: float = field(default_factory=time.monotonic)

    def all(self, lines: list[Line]) -> None:
        """Do all cells that these rows need."""
        left = self.index.todo(lines)
        total, busy, slots, pace = len(left), 0, self.executor.slots, self.index.pace
        while left or busy:
            begun, left = self.begin(left, self.executor.slots - busy)
            busy += begun
            if busy:
                for job, outcome in self.executor.wait():
                    busy -= 1
                    self.finish(job, outcome)
                    done = total - len(left) - busy
                    self.tell(done, total, pace.summary(self.index.plan.tasks, job.key, left, slots))
            elif self.over:
                break
            elif left:  # another run is doing what is left
                time.sleep(PAUSE)
            if time.monotonic() - self.written > EVERY:
                self.write()

    @property
    def over(self) -> bool:
        return self.until is not None and time.monotonic() > self.until

    def begin(self, left: list[str], room: int) -> tuple[int, list[str]]:
        """Start as many cells as there is room for; returns how many, and the keys that are left."""
        begun, index = 0, self.index
        still: list[str] = []
        for i, key in enumerate(left):
            if begun == room or self.over:
                return begun, still + left[i:]
            needs = [n.key for n in index.plan.tasks[key].needs.values() if n.key in index.plan.tasks]
            if why := next((index.failed[need] for need in needs if need in index.failed), None):
                index.failed[key] = inherited(why)
            elif not all(need in index.results for need in needs) or not self.claims.take(key):
                still.append(key)
            elif index.look(key):  # by another run, in the meantime
                self.claims.drop(key)
            else:
                self.executor.submit(self.job(key))
                begun += 1
        return begun, still

    def job(self, key: str) -> Job:
        task = self.index.plan.tasks[key]
        inputs = {part: self.pictures(cell) for part, cell in task.needs.items()}
        checkpoint = self.index.store.checkpoint(task.cell) if task.kind == ATTACK and self.executor.shared else None
        return Job(key, task.order, inputs, self.index.plan.study.timeout, self.threads, checkpoint)

    def pictures(self, cell: Cell) -> Any:
        """A cell's pictures as bytes, for a job."""
        result = self.index.results.get(cell.key) or self.index.store.get(cell)
        assert result is not None, "what a task needs is done before it"
        return bytes_of(self.index.store.load(cell, result))

    def finish(self, job: Job, outcome: Outcome) -> None:
        index, store, task = self.index, self.index.store, self.index.plan.tasks[job.key]
        if outcome.status == DONE:
            index.results[job.key] = store.put(task.cell, outcome.facts, real(outcome.pictures))
            index.pace.note(task, outcome.facts)
        else:
            store.fail(task.cell, outcome.status, outcome.message)
            index.failed[job.key] = {"status": outcome.status, "message": outcome.message}
            if outcome.status == FAILED:  # cannot be resumed, unlike a cell that ran out of time or memory
                store.checkpoint(task.cell).unlink(missing_ok=True)
        self.claims.drop(job.key)

    def write(self) -> Bench:
        """Write all rows of the study that are finished by now."""
        index, done, left, keys = self.index, [], [], self.index.store.keys()
        for line in index.plan.lines:
            if all(key in keys and index.look(key) for key in index.of(line)):
                cell, pictures = index.plan.tasks[line.attack].cell, None
                if line.pictures:
                    pictures = index.results.get(line.pictures.key) or index.store.get(line.pictures)
                done.append(rows.row(line, cell, index.results[line.attack], pictures, index.store))
            else:
                left.append(rows.missing(line, index.why(line.attack, keys)))
        content = finite(rows.content(index.plan.study, self.command, done, left))
        path = self.out / rows.JSON
        self.claims.take(rows.JSON, wait=True)
        write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
        self.claims.drop(rows.JSON)
        self.written = time.monotonic()
        return Bench(path, content["rows"], content["missing"])
