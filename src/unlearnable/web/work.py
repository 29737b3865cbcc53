"""One job at a time, in a thread of its own: the page hears how far it is, and can stop it within a picture."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from html import escape
from typing import Any

from unlearnable.errors import UnlearnableError
from unlearnable.jobs.eta import Eta
from unlearnable.web import words

PAUSE = 0.4  # seconds between two looks at the work
TURN = threading.Lock()  # held by the job that runs
Tell = Callable[..., None]


class Stopped(Exception):
    """Somebody asked the job to stop."""


@dataclass
class Job:
    """What is known of a job: `state` is waiting, working, done, stopped or failed; `error` is one sentence."""

    state: str = "waiting"
    done: float = 0.0
    total: float = 0.0
    what: str = ""
    left: float | None = None
    results: list[Any] = field(default_factory=list)
    error: str = ""

    def line(self) -> str:
        """How far it is, in words."""
        if self.state == "waiting":
            return "Waiting for another job to end."
        if self.state == "failed":
            return self.error
        if self.state == "stopped":
            return "Stopped. What is done is kept."
        if self.state == "done":
            return "Done."
        if not self.total:
            return "Getting ready: loading the model."
        rest = f", about {words.lasts(self.left)} left" if self.left is not None else ""
        what = f": {self.what}" if self.what else ""
        return f"{int(self.done)} of {int(self.total)} done{rest}{what}"

    def html(self) -> str:
        """The line with a bar, for eyes and for screen readers."""
        share = "" if not self.total else f' value="{min(1.0, self.done / self.total):.3f}"'
        bar = f'<progress max="1"{share} aria-label="Progress"></progress>' if self.state == "working" else ""
        return f'<div role="status" class="job {self.state}">{bar}<p>{escape(self.line())}</p></div>'


def follow(start: Callable[[Tell], Iterator[Any]], stop: threading.Event, pause: float = PAUSE) -> Iterator[Job]:
    """Work through the results of ``start(tell)`` in a thread and yield what is known of it, the end last.

    `tell` takes what verbs tell: work done, work in all, and what is in work. `stop` ends the job at the next report
    or result, as does a reader who leaves; what was finished stays. Errors become the job's sentence.
    """
    job, ended = Job(), threading.Event()
    worker = threading.Thread(target=_work, args=(start, stop, job, ended), daemon=True)
    worker.start()
    try:
        while not ended.wait(pause):
            yield job
        yield job
    finally:
        if not ended.is_set():
            stop.set()


def _work(start: Callable[[Tell], Iterator[Any]], stop: threading.Event, job: Job, ended: threading.Event) -> None:
    eta = Eta(time.monotonic)

    def tell(done: float, total: float, what: str = "") -> None:
        if stop.is_set():
            raise Stopped
        job.left = eta.remaining(done, total)
        job.done, job.total, job.what = done, total, what

    try:
        while not TURN.acquire(timeout=0.1):
            if stop.is_set():
                raise Stopped
        try:
            job.state = "working"
            # verbs are generators, which can be closed; their public type, Iterator, does not say so
            with closing(start(tell)) as results:  # type: ignore[type-var]
                for result in results:
                    job.results.append(result)
                    if stop.is_set():
                        raise Stopped
        finally:
            TURN.release()
        job.state = "done"
    except Stopped:
        job.state = "stopped"
    except UnlearnableError as error:
        job.state, job.error = "failed", str(error)
    except Exception as error:  # a page that goes silent says less than one that names the error
        logging.getLogger(__name__).exception("a job failed")
        job.state = "failed"
        job.error = f"Something went wrong ({type(error).__name__}); the terminal says what: please report it."
    finally:
        ended.set()
