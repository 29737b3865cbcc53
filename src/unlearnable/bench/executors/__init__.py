"""Where jobs are done: rivals with one signature. None of them writes to the store: that is the driver's alone.

So a job that was done twice, because a node died after it had been done, is kept once.
"""

from __future__ import annotations

from typing import Protocol

from unlearnable.bench.work import Job, Outcome


class Executor(Protocol):
    """Takes up to `slots` jobs at a time (that number may change), and hands back their outcomes as they come."""

    shared: bool  # whether its workers see the driver's files, and can keep a training's state there

    @property
    def slots(self) -> int: ...

    def submit(self, job: Job) -> None:
        """Begin a job, or keep it for the next `wait`."""
        ...

    def wait(self) -> list[tuple[Job, Outcome]]:
        """Outcomes of jobs that are finished, one at least."""
        ...

    def close(self) -> None:
        """Stop all work at once."""
        ...
