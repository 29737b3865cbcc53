"""Very large folders: the same run, its groups worked on by Ray actors, its files wherever fsspec reaches.

The driver reads pictures in order and forms the groups that a run in one process forms, so the bits are the same.
Files travel to a worker with their group and come back protected, and the driver alone writes: an output when it is
whole, then the journal's line. So a worker needs no disk of ours, may die at any time, and leaves nothing half done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from unlearnable.errors import DiskError, PictureError, SetupError, UnlearnableError, UsageError
from unlearnable.images.limits import read_bytes
from unlearnable.jobs import sinks, sources
from unlearnable.jobs.execute import SerialExecutor, lost
from unlearnable.jobs.ledger import Ledger, Spool
from unlearnable.jobs.result import Meter, Progress, Result
from unlearnable.jobs.run import Remark, Run, loaded
from unlearnable.models.base import Model
from unlearnable.parallel.cluster import connected, first
from unlearnable.protection.sealing import Job
from unlearnable.recipe import Recipe
from unlearnable.storage.journal import stamp

TRIES = 5  # of a group whose worker died
AHEAD = 2  # groups that each worker has: the one it works on, and the next


@dataclass(frozen=True)
class Sent:
    """A job and the bytes of its files."""

    job: Job
    picture: bytes
    mask: bytes | None


@dataclass(frozen=True)
class Output:
    """A job's result, with the journal's line and the output's bytes unless it failed."""

    result: Result
    entry: dict[str, Any] | None
    data: bytes


class Worker:
    """An actor: it holds the model, and works on one group after the other."""

    def __init__(self, recipe: Recipe, threads: int, versions: dict[str, str], shared: Sequence[Any]) -> None:
        self.recipe, self.versions, self.shared = recipe, versions, shared
        self.model: Model | None = None
        torch.set_num_threads(threads)

    def protect(self, sent: list[Sent]) -> list[Output]:
        if (versions := stamp()["versions"]) != self.versions:
            raise SetupError(f"a node has {versions} and the driver {self.versions}: install the same everywhere")
        self.model = self.model or self._load()
        return protected(self.recipe, self.model, sent)

    def _load(self) -> Model:
        import ray

        model: Model = ray.get(self.shared[0]) if self.shared else loaded(self.recipe)
        return model


def protected(recipe: Recipe, model: Model, sent: Sequence[Sent]) -> list[Output]:
    """Work on one group in a temporary folder."""
    with TemporaryDirectory() as name:
        folder, outputs = Path(name), []
        jobs = [unpacked(each, folder / str(i)) for i, each in enumerate(sent)]
        ledger = Ledger(sinks.Folder.open(folder / "out"), recipe.hash, Meter(None, len(jobs)), overwrite=True)
        for job, result in zip(jobs, SerialExecutor(recipe, model, ledger).group(jobs)):
            entry = ledger.entry(job.name, job.digest)
            data = Path(result.output).read_bytes() if result.output else b""
            message = result.message.replace(str(folder), "").replace(f"/{job.source.parent.name}/", "")
            outputs.append(Output(replace(result, message=message), entry if data else None, data))
        return outputs


def packed(job: Job) -> Sent:
    return Sent(job, read_bytes(job.source), read_bytes(job.mask) if job.mask else None)


def unpacked(sent: Sent, folder: Path) -> Job:
    """The job with its files in a folder; one that is done already, as others of its group see it."""
    folder.mkdir(parents=True)
    picture, mask = folder / sent.job.name.name, folder / "mask" if sent.mask is not None else None
    picture.write_bytes(sent.picture)
    if mask and sent.mask is not None:
        mask.write_bytes(sent.mask)
    return replace(sent.job, source=picture, mask=mask, done=False)


@dataclass(frozen=True)
class Cluster:
    """The executor that hands groups to the actors of a Ray cluster at `address`, and writes what comes back."""

    run: Run
    address: str
    folder: TemporaryDirectory[str]

    @classmethod
    def over(
        cls, address: str, inputs: Sequence[str | Path], out: str | Path, recipe: Recipe, mask: Path | None,
        recursive: bool, overwrite: bool, progress: Progress | None,
    ) -> Cluster:  # fmt: skip
        """Find the pictures, which may lie behind URLs; raises UsageError or SetupError."""
        if recipe.surrogate:
            raise UsageError(
                f"--surrogate {recipe.surrogate} is a game over the whole set, not for --ray: leave one out"
            )
        out = sources.plain(out)
        listed = sources.sources(inputs, recursive, out, recipe.pillow_format)
        recipe.protection()  # as `Run.open` does
        folder = TemporaryDirectory(prefix="unlearnable-")
        urls = {Path(folder.name, str(i), name.name): s for i, (s, name) in enumerate(listed) if isinstance(s, str)}
        copies = {url: copy for copy, url in urls.items()}
        pairs = [(copies[s] if isinstance(s, str) else s, name) for s, name in listed]
        sink = sinks.Bucket.open(str(out)) if sinks.is_url(out) else sinks.Folder.open(Path(out))
        resolved, meter = frozenset(s.resolve() for s, _ in pairs), Meter(progress, len(pairs))
        ledger = Ledger(sink, recipe.hash, meter, overwrite, Spool(urls), resolved)
        local = Path(folder.name) if sinks.is_url(out) else Path(out)
        return cls(Run(pairs, local, recipe, mask, ledger), address, folder)

    def results(self, model: Model | None, remark: Remark) -> Iterator[Result]:
        ray, ledger, recipe = connected(self.address), self.run.ledger, self.run.recipe
        outline = model or loaded(replace(recipe, device="cpu"))  # for its sizes: groups are worked on elsewhere
        planner = self.run.planner(self.run.begin(outline, remark))
        shared = [] if model is None else [ray.put(model)]  # held to the end, for workers that start again
        crew: list[Any] = []
        busy: dict[Any, tuple[int, list[Job]]] = {}
        try:
            for group in planner.groups():
                if isinstance(group, Result):
                    yield group
                    continue
                if all(job.done for job in group):
                    yield from (ledger.skipped(job.source, job.name, job.digest) for job in group)
                    continue
                crew = crew or workers(ray, recipe, shared)
                while len(busy) >= AHEAD * len(crew):
                    yield from self._landed(ray, busy)
                try:
                    sent = [packed(job) for job in group]
                except PictureError as error:
                    yield from lost(group, error, ledger)
                    continue
                load = [sum(which == i for which, _ in busy.values()) for i in range(len(crew))]
                chosen = load.index(min(load))
                busy[crew[chosen].protect.remote(sent)] = chosen, group
            while busy:
                yield from self._landed(ray, busy)
        finally:
            for worker in crew:
                ray.kill(worker)
            self.folder.cleanup()

    def _landed(self, ray: Any, busy: dict[Any, tuple[int, list[Job]]]) -> Iterator[Result]:
        """The results of the group that is done first."""
        (ref,), _ = ray.wait(list(busy), num_returns=1)
        _, jobs = busy.pop(ref)
        try:
            outputs: list[Output] = ray.get(ref)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, UnlearnableError):
                raise type(cause)(str(cause)) from error
            raise
        except ray.exceptions.RayError as error:
            why = f"its worker died {TRIES + 1} times ({first(error)}): look at the cluster, and run this again"
            yield from lost(jobs, UnlearnableError(why), self.run.ledger)
            return
        for job, output in zip(jobs, outputs):
            if job.done:
                yield self.run.ledger.skipped(job.source, job.name, job.digest)
            else:
                yield store(job, output, self.run.ledger)


def store(job: Job, output: Output, ledger: Ledger) -> Result:
    """Write an output, then the journal's line."""
    try:
        if output.entry is None:
            raise PictureError(output.result.message)
        ledger.target(output.entry["output"])
        ledger.sink.put(output.entry["output"], output.data)
    except DiskError:
        raise
    except UnlearnableError as error:
        return ledger.failed(job.source, error)
    line = ledger.record(job.source, output.entry)
    return ledger.written(job.source, line, "protected", output.result.notes)


def workers(ray: Any, recipe: Recipe, shared: Sequence[Any]) -> list[Any]:
    """An actor for each GPU of the cluster, or for as many processors as this process computes with.

    They compute with as many threads as this process would, as the number may decide the last bits. `shared` may hold a
    reference to the model, which else is loaded.
    """
    resources, threads = ray.cluster_resources(), torch.get_num_threads()
    gpus, cpus = int(resources.get("GPU", 0)), max(1, int(resources.get("CPU", 1)))
    holds = {"num_gpus": 1, "num_cpus": 1} if gpus else {"num_cpus": min(threads, cpus)}
    kind = ray.remote(max_restarts=-1, max_task_retries=TRIES, **holds)(Worker)
    return [kind.remote(recipe, threads, stamp()["versions"], shared) for _ in range(gpus or max(1, cpus // threads))]
