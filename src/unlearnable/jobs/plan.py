"""The planner: sources become jobs, and jobs become groups that are worked on together.

How groups form depends on the inputs alone, never on what is already done, so that a run that was killed and started
again writes the same bits as one that was not.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearnable.errors import PictureError, UnlearnableError, shown
from unlearnable.images import files
from unlearnable.images.header import dimensions
from unlearnable.jobs.ledger import Ledger
from unlearnable.jobs.result import Result
from unlearnable.protection import sealing
from unlearnable.protection.sealing import Job, Sizes
from unlearnable.recipe import Recipe

NEEDED = (("content", str), ("height", int), ("width", int))  # of a line, to leave its picture as it is


@dataclass(frozen=True)
class Planner:
    """`pairs` are sources with their relative names; `mask` is a picture, or a folder of pictures named alike."""

    pairs: Sequence[tuple[Path, Path]]
    recipe: Recipe
    mask: Path | None
    scale: Sizes
    ledger: Ledger

    def weighed(self) -> Planner:
        """Tell the meter how much work each picture is: the area of its views, as its header says; none if done."""
        meter = self.ledger.meter
        if meter.progress:
            finished = {name for name, _, settings in self.ledger.sink.journal.done if settings == self.recipe.hash}
            for source, name in self.pairs:
                again = self.ledger.overwrite or name.as_posix() not in finished
                size = dimensions(source) if again else None
                canvas = self.scale.plan(*files.size_within(*size, self.recipe.web_size)) if size else None
                meter.work[source] = canvas.seen if canvas else 0.0
        meter.tell()
        return self

    def groups(self) -> Iterator[list[Job] | Result]:
        """Pictures that are worked on together, in order, and the failures among them.

        Without a `batch` each picture is a group. With one, pictures whose views have one shape are; where a surrogate
        learns them and `group` is "folder", those of a folder are one subject.
        """
        r, settings = self.recipe, self.recipe.protection()
        together = settings.learns and r.group == "folder"
        alone = not together and (settings.learns or not r.batch)
        groups: dict[tuple[Any, ...], list[Job]] = {}
        for job in self.jobs():
            if isinstance(job, Result):
                yield job
                continue
            if alone:
                yield [job]
                continue
            shape = (job.source.parent if together else None, job.canvas.tile_height, job.canvas.tile_width)
            groups.setdefault(shape, []).append(job)
            if together:
                continue
            if sum(len(j.canvas.tiles) for j in groups[shape]) >= r.views:
                yield groups.pop(shape)
            elif sum(map(len, groups.values())) > 4 * r.views:  # many shapes: results should not wait for the end
                yield groups.pop(next(iter(groups)))
        yield from groups.values()

    def jobs(self) -> Iterator[Job | Result]:
        """Every picture as a job, or as a failed result."""
        for source, name in self.pairs:
            try:
                yield self._job(source, name)
            except UnlearnableError as error:
                yield self.ledger.failed(source, error)

    def _job(self, source: Path, name: Path) -> Job:
        self.ledger.spool.fetch(source)
        self.ledger.sink.at(name)
        mask, side = self._mask(name), self.recipe.web_size
        digest = sealing.digest(source, mask)
        entry = self.ledger.finished(name, digest)
        if entry and all(type(entry.get(field)) is kind for field, kind in NEEDED):
            canvas = self.scale.plan(entry["height"], entry["width"])
            return Job(source, name, mask, digest, entry["content"], canvas, done=True, side=side)
        picture = files.within(source, side)
        sealing.masked(picture, mask, side)  # a mask that does not fit fails its own picture, not the group
        canvas = self.scale.plan(*picture.pixels.shape[:2])
        return Job(source, name, mask, digest, files.content_hash(picture), canvas, side=side)

    def _mask(self, name: Path) -> Path | None:
        if self.mask is None or not self.mask.is_dir():
            return self.mask
        masks = sorted(self.mask.joinpath(name).parent.glob(f"{glob.escape(name.stem)}.*"))
        if len(masks) != 1:
            raise PictureError(
                f"{shown(name)} has {len(masks)} masks in {shown(self.mask)}: give it one of the same name"
            )
        return masks[0]
