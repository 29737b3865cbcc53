"""Jobs in processes of this machine. Each process is a pool of one: if it dies, only its own job is lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import Any

from unlearnable.bench.work import FAILED, MEMORY, Job, Outcome, do

KILLED = "the process that worked on it was killed, as a rule for want of memory: give fewer --jobs"
CRASHED = "the process that worked on it crashed: run this cell alone, without --jobs, to see what it says"


@dataclass
class Pool:
    """See `Executor`. Processes are spawned, load their models once, and stay until the end."""

    slots: int
    shared: bool = True
    idle: list[ProcessPoolExecutor] = field(default_factory=list)
    busy: dict[Future[Outcome], tuple[Job, ProcessPoolExecutor, Any]] = field(default_factory=dict)

    def submit(self, job: Job) -> None:
        worker = self.idle.pop() if self.idle else self._spawn()
        future = worker.submit(do, job)
        (process,) = worker._processes.values()
        self.busy[future] = (job, worker, process)

    def wait(self) -> list[tuple[Job, Outcome]]:
        outcomes = []
        for future in wait(self.busy, return_when=FIRST_COMPLETED).done:
            job, worker, process = self.busy.pop(future)
            try:
                outcomes.append((job, future.result()))
                self.idle.append(worker)
            except BrokenProcessPool:
                worker.shutdown()
                killed = process.exitcode == -signal.SIGKILL
                outcomes.append((job, Outcome(MEMORY, KILLED) if killed else Outcome(FAILED, CRASHED)))
            except Exception as error:  # `do` raises nothing: the job could not be sent, as a class made on the fly
                self.idle.append(worker)
                outcomes.append(
                    (job, Outcome(FAILED, f"it cannot be handed to another process ({error}): use no --jobs"))
                )
        return outcomes

    def close(self) -> None:
        for _, _, process in self.busy.values():
            process.kill()
        for worker in [*self.idle, *(worker for _, worker, _ in self.busy.values())]:
            worker.shutdown(cancel_futures=True)
        self.idle.clear()
        self.busy.clear()

    def _spawn(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=begin)


def begin() -> None:
    """Set up a worker: it leaves Ctrl-C to the driver, and ends when the driver ends, for whatever reason."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    driver = multiprocessing.parent_process()
    assert driver is not None

    def watch() -> None:
        driver.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
