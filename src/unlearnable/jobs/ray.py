"""Very large folders: the run of `batch`, its groups worked on by Ray actors, its files wherever fsspec reaches.

The driver reads pictures in order and forms the groups that a run in one process forms, so the bits are the same.
Files travel to a worker with their group and come back protected, and the driver alone writes: an output when it is
whole, then the journal's line. So a worker needs no disk of ours, may die at any time, and leaves nothing half done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from unlearnable.errors import DiskError, PictureError, SetupError, UnlearnableError, UsageError, shown
from unlearnable.images.limits import read_bytes
from unlearnable.jobs import places
from unlearnable.jobs.run import Progress, Result, Run, loaded, untold
from unlearnable.models.base import Model
from unlearnable.parallel.cluster import connected, first
from unlearnable.protection.sealing import Job, Sizes, sizes
from unlearnable.recipe import Recipe
from unlearnable.storage.journal import Journal, stamp

TRIES = 5  # of a group whose worker died
AHEAD = 2  # groups that each worker has: the one it works on, and the next


@dataclass(frozen=True)
class Sent:
    """A job and the bytes of its files."""

    job: Job
    picture: bytes
    mask: bytes | None


@dataclass(frozen=True)
class Made:
    """What became of it: the journal's line and the output's bytes, unless it failed."""

    result: Result
    entry: dict[str, Any] | None
    data: bytes


class Worker:
    """An actor: it holds the model, and works on one group after the other."""

    def __init__(self, recipe: Recipe, threads: int, versions: dict[str, str], shared: Sequence[Any]) -> None:
        self.recipe, self.versions, self.shared = recipe, versions, shared
        self.model: Model | None = None
        torch.set_num_threads(threads)

    def protect(self, sent: list[Sent]) -> list[Made]:
        if (mine := stamp()["versions"]) != self.versions:
            raise SetupError(f"a node has {mine} and the driver {self.versions}: install the same everywhere")
        self.model = self.model or self._load()
        return protected(self.recipe, self.model, sent)

    def _load(self) -> Model:
        import ray

        model: Model = ray.get(self.shared[0]) if self.shared else loaded(self.recipe)
        return model


def protected(recipe: Recipe, model: Model, sent: Sequence[Sent]) -> list[Made]:
    """Work on one group in a folder of its own, which is gone afterwards."""
    with TemporaryDirectory() as name:
        place, made = Path(name), []
        jobs = [unpacked(each, place / str(i)) for i, each in enumerate(sent)]
        run = Run([], place / "out", recipe, None, True, untold, Journal.open(place / "out"))
        for job, result in zip(jobs, run._group(model, jobs)):
            entry = run.journal.done.get((job.name.as_posix(), job.digest, recipe.hash))
            data = Path(result.output).read_bytes() if result.output else b""
            said = result.message.replace(str(place), "").replace(f"/{job.source.parent.name}/", "")
            made.append(Made(replace(result, message=said), entry if data else None, data))
        return made


def packed(job: Job) -> Sent:
    return Sent(job, read_bytes(job.source), read_bytes(job.mask) if job.mask else None)


def unpacked(sent: Sent, place: Path) -> Job:
    """The job with its files in a folder; one that is done already, as others of its group see it."""
    place.mkdir(parents=True)
    picture, mask = place / sent.job.name.name, place / "mask" if sent.mask is not None else None
    picture.write_bytes(sent.picture)
    if mask and sent.mask is not None:
        mask.write_bytes(sent.mask)
    return replace(sent.job, source=picture, mask=mask, done=False)


@dataclass(kw_only=True)
class Spread(Run):
    """The driver. `urls` says where files of `spool` come from; each is there until its group is done."""

    address: str
    place: places.Place
    spool: TemporaryDirectory[str]
    urls: dict[Path, str] = field(default_factory=dict)

    @classmethod
    def over(
        cls, address: str, inputs: Sequence[str | Path], out: str | Path, recipe: Recipe, mask: Path | None, deep: bool,
        again: bool, tell: Progress | None,
    ) -> Spread:  # fmt: skip
        if recipe.surrogate:
            raise UsageError(
                f"--surrogate {recipe.surrogate} is a game over the whole set, not for --ray: leave one out"
            )
        out = places.plain(out)
        found = places.sources(inputs, deep, out, recipe.wanted)
        recipe.protection()  # as `open` does
        spool = TemporaryDirectory(prefix="unlearnable-")
        urls = {Path(spool.name, str(i), name.name): s for i, (s, name) in enumerate(found) if isinstance(s, str)}
        copies = {url: copy for copy, url in urls.items()}
        pairs = [(copies[s] if isinstance(s, str) else s, name) for s, name in found]
        place = places.Bucket.open(str(out)) if places.is_url(out) else places.Folder.open(Path(out))
        return cls(
            pairs, Path(spool.name) if places.is_url(out) else Path(out), recipe, mask, again, tell or untold,
            place.journal, sources={s.resolve() for s, _ in pairs}, address=address, place=place, spool=spool,
            urls=urls,
        )  # fmt: skip

    def results(self, model: Model | None, remark: Callable[[str], None]) -> Iterator[Result]:
        ray = connected(self.address)
        here = model or loaded(replace(self.recipe, device="cpu"))  # for its sizes: groups are worked on elsewhere
        scale = sizes(self._begin(here, remark), self.recipe.resolution, self.recipe.protection().side)
        shared = [] if model is None else [ray.put(model)]  # held to the end, for workers that start again
        crew: list[Any] = []
        busy: dict[Any, tuple[int, list[Job]]] = {}
        try:
            for found in self._groups(scale):
                if isinstance(found, Result):
                    yield found
                    continue
                if all(job.done for job in found):
                    yield from map(self._skipped, found)
                    continue
                crew = crew or workers(ray, self.recipe, shared)
                while len(busy) >= AHEAD * len(crew):
                    yield from self._landed(ray, busy)
                try:
                    sent = [packed(job) for job in found]
                except PictureError as error:
                    yield from self._lost(found, error)
                    continue
                load = [sum(which == i for which, _ in busy.values()) for i in range(len(crew))]
                chosen = load.index(min(load))
                busy[crew[chosen].protect.remote(sent)] = chosen, found
            while busy:
                yield from self._landed(ray, busy)
        finally:
            for worker in crew:
                ray.kill(worker)
            self.spool.cleanup()

    def _landed(self, ray: Any, busy: dict[Any, tuple[int, list[Job]]]) -> Iterator[Result]:
        """The results of the group that is done first."""
        (ref,), _ = ray.wait(list(busy), num_returns=1)
        _, jobs = busy.pop(ref)
        try:
            made: list[Made] = ray.get(ref)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, UnlearnableError):
                raise type(cause)(str(cause)) from error
            raise
        except ray.exceptions.RayError as error:
            why = f"its worker died {TRIES + 1} times ({first(error)}): look at the cluster, and run this again"
            yield from self._lost(jobs, UnlearnableError(why))
            return
        for job, each in zip(jobs, made):
            yield self._skipped(job) if job.done else self._kept(job, each)
            self._forget(job.source)

    def _lost(self, jobs: Sequence[Job], error: UnlearnableError) -> Iterator[Result]:
        for job in jobs:
            yield self._skipped(job) if job.done else self._failed(job.source, error)

    def _kept(self, job: Job, made: Made) -> Result:
        """Write an output, then the journal's line."""
        source = self.urls.get(job.source, job.source)
        try:
            if made.entry is None:
                raise PictureError(made.result.message)
            path = self.place.at(made.entry["output"])
            if path in self.urls.values() or (isinstance(path, Path) and path.resolve() in self.sources):
                raise UsageError(f"{shown(path)} is one of the inputs: choose another output folder with -o")
            self.place.put(made.entry["output"], made.data)
        except DiskError:
            raise
        except UnlearnableError as error:
            return self._failed(job.source, error)
        self.journal.append(made.entry | {"source": str(source)})
        self._count(job.source)
        return replace(made.result, source=source, output=path)

    def _job(self, source: Path, name: Path, scale: Sizes) -> Job:
        if source in self.urls:
            data = places.fetched(self.urls[source])
            source.parent.mkdir(exist_ok=True)
            source.write_bytes(data)
        return super()._job(source, name, scale)

    def _present(self, entry: dict[str, Any]) -> bool:
        return self.place.has(entry)

    def _skipped(self, job: Job) -> Result:
        found = super()._skipped(job)
        entry = self.journal.done[(job.name.as_posix(), job.digest, self.recipe.hash)]
        self._forget(job.source)
        return replace(found, source=self.urls.get(job.source, job.source), output=self.place.at(entry["output"]))

    def _failed(self, source: Path, error: UnlearnableError) -> Result:
        found, url = super()._failed(source, error), self.urls.get(source)
        self._forget(source)
        return replace(found, source=url, message=found.message.replace(str(source), url)) if url else found

    def _forget(self, source: Path) -> None:
        if source in self.urls:
            source.unlink(missing_ok=True)


def workers(ray: Any, recipe: Recipe, shared: Sequence[Any]) -> list[Any]:
    """An actor for each GPU of the cluster, or for as many processors as this process computes with.

    They compute with as many threads as this process would, as the number may decide the last bits. `shared` may hold a
    reference to the model, which else is loaded.
    """
    there, threads = ray.cluster_resources(), torch.get_num_threads()
    gpus, cpus = int(there.get("GPU", 0)), max(1, int(there.get("CPU", 1)))
    holds = {"num_gpus": 1, "num_cpus": 1} if gpus else {"num_cpus": min(threads, cpus)}
    kind = ray.remote(max_restarts=-1, max_task_retries=TRIES, **holds)(Worker)
    return [kind.remote(recipe, threads, stamp()["versions"], shared) for _ in range(gpus or max(1, cpus // threads))]
