"""A perturbation becomes a file: sealed onto the 8-bit grid at the picture's own size, written, read again, noted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnable.errors import DiskError, UnlearnableError
from unlearnable.images import files, views
from unlearnable.jobs.ledger import Ledger
from unlearnable.jobs.result import Result, finite
from unlearnable.protection import sealing
from unlearnable.protection.sealing import Job
from unlearnable.recipe import Recipe
from unlearnable.storage.atomic import uninterrupted

if TYPE_CHECKING:
    from torch import Tensor


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
