"""Jobs in this process, one after the other."""

from __future__ import annotations

from dataclasses import dataclass, field

from unlearnable.bench.work import Job, Outcome, do


@dataclass
class SerialExecutor:
    """See `Executor`."""

    shared: bool = True
    slots: int = 1
    waiting: list[Job] = field(default_factory=list)

    def submit(self, job: Job) -> None:
        self.waiting.append(job)

    def wait(self) -> list[tuple[Job, Outcome]]:
        job = self.waiting.pop(0)
        return [(job, do(job))]

    def close(self) -> None:
        self.waiting.clear()
