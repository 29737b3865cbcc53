"""Jobs on a Ray cluster, or on one that is started here. Each job is a task of its own.

Exactly once: tasks are pure and only return; the driver alone writes to the store, under the cell's key. A task whose
node dies is started again elsewhere (by Ray, `RETRIES` times), and so is one whose result was lost with its node; a
task that ran twice is written once. Workers need the package and the models, but no folder of the driver's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from unlearnable.bench.work import FAILED, MEMORY, Job, Outcome, do
from unlearnable.evaluation.store import code
from unlearnable.parallel.cluster import AUTO, connected, first

RETRIES = 5


@dataclass
class Ray:
    """See `Executor`. Each job holds `cpus` and `gpus` (which may be a fraction)."""

    address: str = AUTO
    cpus: int = 1
    gpus: float = 0
    shared: bool = False
    busy: dict[Any, Job] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ray = connected(self.address)
        self.task = self.ray.remote(
            num_cpus=self.cpus, num_gpus=self.gpus, max_retries=RETRIES, scheduling_strategy="SPREAD"
        )(same_sources)

    @property
    def slots(self) -> int:
        """How many jobs fit on the nodes there are now; at least one, which may have to wait for a node."""
        resources = self.ray.cluster_resources()
        fit = [resources.get("CPU", 0) // self.cpus] + ([resources.get("GPU", 0) // self.gpus] if self.gpus else [])
        return max(1, int(min(fit)))

    def submit(self, job: Job) -> None:
        self.busy[self.task.remote(job, code("."))] = job

    def wait(self) -> list[tuple[Job, Outcome]]:
        done, _ = self.ray.wait(list(self.busy), num_returns=1)
        return [(self.busy.pop(ref), self._outcome(ref)) for ref in done]

    def _outcome(self, ref: Any) -> Outcome:
        errors = self.ray.exceptions
        try:
            outcome: Outcome = self.ray.get(ref)
        except errors.OutOfMemoryError as error:
            return Outcome(MEMORY, f"a node ran out of memory: give each cell more --threads ({first(error)})")
        except errors.RayError as error:
            return Outcome(FAILED, f"its workers died, {RETRIES + 1} times: look at the cluster ({first(error)})")
        return outcome

    def close(self) -> None:
        for ref in self.busy:
            self.ray.cancel(ref, force=True)
        self.busy.clear()
        self.ray.shutdown()


def same_sources(job: Job, sources: str) -> Outcome:
    """Do a job if this node's package equals the driver's: results are stored under the driver's sources."""
    if code(".") != sources:
        return Outcome(FAILED, "a node has other sources of unlearnable than the driver: install the same everywhere")
    return do(job)
