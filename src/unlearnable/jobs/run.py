"""Files in, protected files out: the one path for one picture or a million.

Pictures stream through in the order of their names, each a group of its own, whose file is written as soon as it is
done. With a `batch`, pictures whose views have one shape are worked on at once, which changes no result; where a
surrogate learns them and `group` is "folder", those of a folder are one subject. How groups form depends on the inputs
alone, never on what is already done, so a run that was killed and started again writes the same bits as one that was
not.
"""

from __future__ import annotations

import glob
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from unlearnable.errors import DiskError, PictureError, UnlearnableError, UsageError, shown
from unlearnable.models.offline import going_offline
from unlearnable.recipe import Recipe
from unlearnable.storage.atomic import uninterrupted
from unlearnable.storage.journal import Journal, stamp

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnable.models.base import Model
    from unlearnable.protection.sealing import Job, Sizes

Progress = Callable[[float, int], None]


@dataclass(frozen=True)
class Result:
    """What became of one input.

    `status` is protected (or purified), skipped (finished before) or failed (`message` says why). What lies behind a
    URL is named by it.
    """

    source: Path | str
    status: str
    output: Path | str | None = None
    message: str = ""
    measured: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass
class Run:
    pairs: list[tuple[Path, Path]]
    out: Path
    recipe: Recipe
    mask: Path | None
    overwrite: bool
    progress: Progress
    journal: Journal
    finished: int = 0
    spent: float = 0
    told: float = 0
    work: dict[Path, float] = field(default_factory=dict)
    sources: set[Path] = field(default_factory=set)

    @classmethod
    def open(
        cls, inputs: list[Path], out: Path, recipe: Recipe, mask: Path | None, deep: bool, again: bool,
        tell: Progress | None,
    ) -> Run:  # fmt: skip
        from unlearnable.images import files

        pairs = files.find(inputs, deep, out, recipe.wanted)
        check(recipe, pairs, mask)
        known = {source.resolve() for source, _ in pairs}
        return cls(pairs, out, recipe, mask, again, tell or untold, Journal.open(out), sources=known)

    def results(self, model: Model | None, remark: Callable[[str], None]) -> Iterator[Result]:
        from unlearnable.protection.sealing import sizes

        model = self._begin(model, remark)
        scale = sizes(model, self.recipe.resolution, self.recipe.protection().side)
        self._weigh(scale)
        self._tell(0)
        for found in self._groups(scale):
            yield from [found] if isinstance(found, Result) else self._group(model, found)

    def _weigh(self, scale: Sizes) -> None:
        """How much work each picture is: the area of its views, as its header says; none for what seems done."""
        from unlearnable.images.header import dimensions

        if self.progress is untold:
            return
        done = {name for name, _, settings in self.journal.done if settings == self.recipe.hash}
        for source, name in self.pairs:
            again = self.overwrite or name.as_posix() not in done
            size = dimensions(source) if again else None
            canvas = scale.plan(*size) if size else None
            area = len(canvas.tiles) * canvas.tile_height * canvas.tile_width if canvas else 0
            self.work[source] = float(area)

    def _groups(self, scale: Sizes) -> Iterator[list[Job] | Result]:
        """Pictures that are worked on together, in order, and the failures among them."""
        r, settings = self.recipe, self.recipe.protection()
        together = settings.learns and r.group == "folder"
        alone = not together and (settings.learns or not r.batch)
        groups: dict[tuple[Any, ...], list[Job]] = {}
        for source, name in self.pairs:
            try:
                job = self._job(source, name, scale)
            except UnlearnableError as error:
                yield self._failed(source, error)
                continue
            if alone:
                yield [job]
                continue
            shape = (source.parent if together else None, job.canvas.tile_height, job.canvas.tile_width)
            groups.setdefault(shape, []).append(job)
            if together:
                continue
            if sum(len(j.canvas.tiles) for j in groups[shape]) >= r.views:
                yield groups.pop(shape)
            elif sum(map(len, groups.values())) > 4 * r.views:  # many shapes: results should not wait for the end
                yield groups.pop(next(iter(groups)))
        yield from groups.values()

    def _begin(self, model: Model | None, remark: Callable[[str], None]) -> Model:
        """The model, loaded if need be; the journal knows of the run."""
        r, model = self.recipe, model or loaded(self.recipe)
        with going_offline(r.offline):
            self.journal.append(header(r, model))
        with going_offline(r.offline):  # a method may name encoders, which are loaded here
            said = r.protection().remark(model)
        if said:
            remark(said)
        return model

    def _job(self, source: Path, name: Path, scale: Sizes) -> Job:
        from unlearnable.images import files
        from unlearnable.protection import sealing as work

        files.target(self.out, name)
        mask = self._mask(name)
        digest = work.digest(source, mask)
        entry = self.journal.done.get((name.as_posix(), digest, self.recipe.hash))
        if entry and not self.overwrite and fields(entry) and self._present(entry):
            canvas = scale.plan(entry["height"], entry["width"])
            return work.Job(source, name, mask, self.recipe.quiet, digest, entry["content"], canvas, done=True)
        picture = files.read(source)
        work.allowed(picture, mask, quiet=False)  # a mask that does not fit fails its own picture, not the group
        canvas = scale.plan(*picture.pixels.shape[:2])
        return work.Job(source, name, mask, self.recipe.quiet, digest, files.content_hash(picture), canvas)

    def _present(self, entry: dict[str, Any]) -> bool:
        return present(self.out, entry)

    def _mask(self, name: Path) -> Path | None:
        if self.mask is None or not self.mask.is_dir():
            return self.mask
        found = sorted(self.mask.joinpath(name).parent.glob(f"{glob.escape(name.stem)}.*"))
        if len(found) != 1:
            raise PictureError(
                f"{shown(name)} has {len(found)} masks in {shown(self.mask)}: give it one of the same name"
            )
        return found[0]

    def _group(self, model: Model, jobs: list[Job]) -> Iterator[Result]:
        """Work on pictures whose views have one shape; when some are done already, the others still see them."""
        if all(job.done for job in jobs):
            for job in jobs:
                yield self._skipped(job)
            return
        started = time.monotonic()
        try:
            deltas = self._perturb(model, jobs)
        except UnlearnableError as error:
            for job in jobs:
                yield self._skipped(job) if job.done else self._failed(job.source, error)
            return
        seconds = (time.monotonic() - started) / len(jobs)
        for job, delta in zip(jobs, deltas):
            if job.done:
                yield self._skipped(job)
                continue
            try:
                yield self._save(job, delta, seconds)
            except DiskError:  # the next picture would meet the same
                raise
            except UnlearnableError as error:
                yield self._failed(job.source, error)

    def _perturb(self, model: Model, jobs: list[Job]) -> list[Tensor]:
        """Perturbations of the jobs' views, ``[n 3 h w]`` each, at the scale at which the model saw them."""
        import torch

        cuts, masks = zip(*[job.cut() for job in jobs])
        keys = [f"{job.content}:{i}" for job, cut in zip(jobs, cuts) for i in range(len(cut))]
        x, free, protection, parts = torch.cat(cuts), torch.cat(masks), self.recipe.protection(), []
        size = len(x) if protection.learns else self.recipe.views  # what learns sees all views of its group
        for start in range(0, len(x), size):
            part = slice(start, min(start + size, len(x)))

            def tell(done: int, total: int, part: slice = part) -> None:
                share = (part.start + (part.stop - part.start) * done / total) / len(x)
                self._tell(min(1.0, share) * sum(self.work.get(job.source, 0.0) for job in jobs))

            options: dict[str, Any] = {"prompt": self.recipe.prompt, "seed": self.recipe.seed, "callback": tell}
            try:
                with going_offline(self.recipe.offline):
                    y = protection(model, x[part], mask=free[part], keys=keys[part], **options)
            except torch.OutOfMemoryError as error:
                remedy = "use --batch 1, a lower --resolution or --checkpointing"
                raise UnlearnableError(f"{len(x[part])} views do not fit into memory at once: {remedy}") from error
            parts.append(y.cpu() - x[part])
        return list(torch.cat(parts).split([len(cut) for cut in cuts]))

    def _save(self, job: Job, deltas: Tensor, seconds: float) -> Result:
        from unlearnable.images import files, views
        from unlearnable.protection import sealing as work

        r, constraint, picture = self.recipe, self.recipe.protection().constraint, files.read(job.source)
        kind, _ = files.output_format(picture.format, r.wanted, plain=picture.plain)
        path = files.target(self.out, files.output_name(job.name, kind))
        if path.resolve() in self.sources:  # a file whose name lies about its format slips past `find`
            raise UsageError(f"{shown(path)} is one of the inputs: choose another output folder with -o")
        delta = views.merge(job.canvas, deltas)
        free = work.allowed(picture, job.mask, job.quiet)
        sealed = work.seal(picture, delta, free, constraint)
        mode = files.like(job.source)
        with uninterrupted():
            files.write(sealed, path, format=kind, quality=r.quality, keep_metadata=r.keep_metadata, mode=mode)
            measured, notes = work.verify(picture, sealed, path, constraint, files.is_lossless(kind, r.quality), free)
            notes += files.lost(r.keep_metadata and bool(picture.text), kind)
            entry: dict[str, Any] = {
                "name": job.name.as_posix(), "input_sha256": job.digest, "content": job.content, "recipe_hash": r.hash,
                "seed": r.seed, "source": str(job.source), "output": path.relative_to(self.out).as_posix(),
                "bytes": path.stat().st_size, "height": picture.pixels.shape[0], "width": picture.pixels.shape[1],
                "measured": finite(measured), "notes": notes, "seconds": round(seconds, 2),
            }  # fmt: skip
            self.journal.append(entry)
        self._count(job.source)
        return Result(job.source, "protected", path, measured=measured, notes=tuple(notes))

    def _skipped(self, job: Job) -> Result:
        self._count(job.source)
        entry = self.journal.done[(job.name.as_posix(), job.digest, self.recipe.hash)]
        return Result(job.source, "skipped", self.out / entry["output"], "finished before", dict(entry["measured"]))

    def _failed(self, source: Path, error: UnlearnableError) -> Result:
        self._count(source)
        return Result(source, "failed", message=str(error))

    def _count(self, source: Path) -> None:
        self.finished += 1
        self.spent += self.work.get(source, 0.0)
        self._tell(0)

    def _tell(self, within: float) -> None:
        """Say the share of all work that is done, in pictures; `within` is what is done of the present group.

        Progress never goes back: a group is worked on before its pictures are counted.
        """
        whole, count = sum(self.work.values()), len(self.pairs)
        share = (self.spent + within) / whole if whole else self.finished / max(1, count)
        self.told = max(self.told, min(1.0, share) * count)
        self.progress(count if self.finished == count else self.told, count)


def check(recipe: Recipe, pairs: list[tuple[Path, Path]], mask: Path | None) -> None:
    """Raise UsageError or SetupError for what can be known to be wrong before anything is computed.

    A wrong method, budget, device or file format; a mask that is not there, cannot be read, or fits no picture.
    """
    if against := recipe.protection().against:
        from unlearnable.models.encoders import families

        families.check(against.encoders)
        if recipe.surrogate:
            raise UsageError(
                f"encoders ({against.encoders}) have no part in a game over a data set: leave out one of the two"
            )
    if recipe.protection().asks_model:
        from unlearnable.models.load import checked

        checked(recipe.model, recipe.device, recipe.dtype, recipe.revision)
    if mask is None:
        return
    if not mask.exists():
        raise UsageError(f"the mask {shown(mask)} does not exist: check the name")
    if mask.is_dir():
        return
    from unlearnable.images import files
    from unlearnable.images.header import dimensions

    try:
        size = files.read(mask).pixels.shape[:2]
    except PictureError as error:
        raise UsageError(f"the mask cannot be used: {error}") from error
    known = [(source, found) for source, _ in pairs if (found := dimensions(source))]
    if known and not any(size in (found, found[::-1]) for _, found in known):  # a turned picture shows as it lies
        source, (height, width) = known[0]
        raise UsageError(
            f"the mask {shown(mask)} is {size[1]} x {size[0]} px and fits no picture, such as {shown(source)} with "
            f"{width} x {height}: make it the picture's size, or give a folder of masks"
        )


def untold(done: float, total: int) -> None:
    """Progress for those who do not ask."""


def loaded(r: Recipe) -> Model:
    """The recipe's model; for a method that asks it nothing its outline, which no library need be imported for."""
    from unlearnable.models.load import load_model
    from unlearnable.models.outline import outline

    if not r.protection().asks_model and not r.revision and (known := outline(r.model, r.device)):
        return cast("Model", known)
    options = ("device", "dtype", "revision", "offline", "checkpointing")
    return load_model(r.model, **{name: getattr(r, name) for name in options})


def header(recipe: Recipe, model: Model) -> dict[str, Any]:
    """The journal's line for a run: the resolved recipe, the versions and the machine."""
    return {
        "run": asdict(recipe) | {"hash": recipe.hash},
        "budget": recipe.protection().constraint.describe(),
        "remark": recipe.protection().remark(model),
        "model": {"name": model.name, "family": model.family, "device": str(model.device), "amp": str(model.amp)},
    } | stamp()


def fields(entry: Mapping[str, Any]) -> bool:
    """Whether a journal's line has what is needed to leave a picture as it is."""
    return all(type(entry.get(name)) is kind for name, kind in (("content", str), ("height", int), ("width", int)))


def finite(measured: Mapping[str, float | None]) -> dict[str, float | None]:
    """JSON has no infinity: an unchanged picture's PSNR is null."""
    return {k: v if v is not None and math.isfinite(v) else None for k, v in measured.items()}


def present(out: Path, entry: dict[str, Any]) -> bool:
    """Whether the file that a journal's line speaks of is still there."""
    path = out / entry["output"]
    return path.is_file() and path.stat().st_size == entry["bytes"]
