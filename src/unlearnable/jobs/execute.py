"""The executor of this process: groups in, perturbations out, files sealed, written, read again and noted."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnable.errors import DiskError, UnlearnableError
from unlearnable.images import files, views
from unlearnable.jobs.ledger import Ledger
from unlearnable.jobs.plan import Planner
from unlearnable.jobs.result import Result, finite
from unlearnable.models.offline import going_offline
from unlearnable.protection import sealing
from unlearnable.protection.sealing import Job
from unlearnable.recipe import Recipe
from unlearnable.storage.atomic import uninterrupted

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnable.models.base import Model
if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SerialExecutor:
    """Works on one group after the other with `model`."""

    recipe: Recipe
    model: Model
    ledger: Ledger

    def results(self, planner: Planner) -> Iterator[Result]:
        for item in planner.weighed().groups():
            yield from [item] if isinstance(item, Result) else self.group(item)

    def group(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """Work on pictures whose views have one shape; when some are done already, the others still see them."""
        ledger = self.ledger
        if all(job.done for job in jobs):
            for job in jobs:
                yield ledger.skipped(job.source, job.name, job.digest)
            return
        started = time.monotonic()
        try:
            deltas = self._perturb(jobs)
        except UnlearnableError as error:
            yield from lost(jobs, error, ledger)
            return
        seconds = (time.monotonic() - started) / len(jobs)
        for job, delta in zip(jobs, deltas):
            if job.done:
                yield ledger.skipped(job.source, job.name, job.digest)
            else:
                yield save(job, delta, self.recipe, ledger, seconds)

    def _perturb(self, jobs: Sequence[Job]) -> list[Tensor]:
        """Perturbations of the jobs' views, ``[n 3 h w]`` each, at the scale at which the model saw them."""
        import torch

        r, meter, protection = self.recipe, self.ledger.meter, self.recipe.protection()
        cuts, masks = zip(*[job.cut() for job in jobs])
        keys = [f"{job.content}:{i}" for job, cut in zip(jobs, cuts) for i in range(len(cut))]
        x, mask, parts = torch.cat(cuts), torch.cat(masks), []
        size = len(x) if protection.learns else r.views  # what learns sees all views of its group
        work = sum(meter.work.get(job.source, 0.0) for job in jobs)
        for start in range(0, len(x), size):
            part = slice(start, min(start + size, len(x)))

            def tell(done: int, total: int, part: slice = part) -> None:
                share = (part.start + (part.stop - part.start) * done / total) / len(x)
                meter.tell(min(1.0, share) * work)

            options: dict[str, Any] = {"prompt": r.prompt, "seed": r.seed, "callback": tell}
            try:
                with going_offline(r.offline):
                    y = protection(self.model, x[part], mask=mask[part], keys=keys[part], **options)
            except torch.OutOfMemoryError as error:
                remedy = "use --batch 1, a lower --resolution or --checkpointing"
                raise UnlearnableError(f"{len(x[part])} views do not fit into memory at once: {remedy}") from error
            parts.append(y.cpu() - x[part])
        return list(torch.cat(parts).split([len(cut) for cut in cuts]))


def lost(jobs: Sequence[Job], error: UnlearnableError, ledger: Ledger) -> Iterator[Result]:
    """Failed results of a group; pictures that were finished before are skipped."""
    for job in jobs:
        if job.done:
            yield ledger.skipped(job.source, job.name, job.digest)
        else:
            yield ledger.failed(job.source, error)


def save(job: Job, deltas: Tensor, recipe: Recipe, ledger: Ledger, seconds: float = 0.0) -> Result:
    """Write one picture with the perturbations of its views ``[n 3 h w]``; a failed result where that cannot be.

    Raises DiskError, as the next picture would meet the same.
    """
    try:
        return _save(job, deltas, recipe, ledger, seconds)
    except DiskError:
        raise
    except UnlearnableError as error:
        return ledger.failed(job.source, error)


def _save(job: Job, deltas: Tensor, r: Recipe, ledger: Ledger, seconds: float) -> Result:
    constraint, picture = r.protection().constraint, job.picture()
    kind, _ = files.output_format(picture.format, r.pillow_format, plain=picture.plain)
    name = files.output_name(job.name, kind)
    path = Path(ledger.target(name))
    delta = views.merge(job.canvas, deltas)
    mask = job.masked(picture)
    sealed = sealing.seal(picture, delta, mask, constraint)
    mode = files.mode_of(job.source)
    with uninterrupted():
        files.write(sealed, path, format=kind, quality=r.quality, keep_metadata=r.keep_metadata, mode=mode)
        lossless = files.is_lossless(kind, r.quality)
        measured, notes = sealing.verify(picture, sealed, path, constraint, lossless, mask)
        notes += files.lost(r.keep_metadata and bool(picture.text), kind)
        entry: dict[str, Any] = {
            "name": job.name.as_posix(), "input_sha256": job.digest, "content": job.content, "seed": r.seed,
            "output": name.as_posix(), "bytes": path.stat().st_size, "height": picture.pixels.shape[0],
            "width": picture.pixels.shape[1], "measured": finite(measured), "notes": notes,
            "seconds": round(seconds, 2),
        }  # fmt: skip
        line = ledger.record(job.source, entry)
    return ledger.written(job.source, line, "protected", tuple(notes))
