"""Executors say where jobs run; all have one signature. Only the driver writes to the store, never an executor.

A job that ran twice, because its node died after the job had finished, is therefore stored once.
"""

from __future__ import annotations

from typing import Protocol

from unlearnable.bench.work import Job, Outcome


class Executor(Protocol):
    """Takes up to `slots` jobs at a time (the number may change), and returns their outcomes as they finish."""

    shared: bool  # whether its workers see the driver's files, and can keep a training's state there

    @property
    def slots(self) -> int: ...

    def submit(self, job: Job) -> None:
        """Start a job, or keep it for the next `wait`."""
        ...

    def wait(self) -> list[tuple[Job, Outcome]]:
        """The outcomes of finished jobs, at least one."""
        ...

    def close(self) -> None:
        """Stop all work at once."""
        ...
