"""Output of `unlearnable protect`: plan, progress, results, summary."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from unlearnable.errors import DiskError, UsageError, shown
from unlearnable.images.formats import ACCEPTED
from unlearnable.inputs import paths
from unlearnable.jobs.eta import Eta
from unlearnable.recipe import Recipe

if TYPE_CHECKING:
    from unlearnable.evaluation.comparison import Comparison
    from unlearnable.jobs.result import Result

EMBEDDED_WORTH = (
    "The embedded model is small: what it protects against Stable Diffusion attackers is weak and unproven. For that, "
    "name a real checkpoint: --model stable-diffusion-v1-5/stable-diffusion-v1-5"
)
URL = "://"
INTERRUPTED = 130
talk = Console(stderr=True, highlight=False, soft_wrap=True)


def run(
    inputs: list[str],
    out: str,
    recipe: Recipe,
    *,
    mask: Path | None,
    recursive: bool,
    overwrite: bool,
    compare: bool,
    dry_run: bool,
    as_json: bool,
    ray: str | None = None,
) -> int:
    """Protect and report; returns how many inputs failed."""
    from unlearnable.jobs import protect as batch

    urls = [place for place in (*inputs, out) if URL in place]
    if urls and (ray is None or compare or dry_run):
        remedy = "add --ray auto" if ray is None else "leave --compare and --dry-run out"
        raise UsageError(f"{shown(urls[0])} is a URL, which needs a run with --ray: {remedy}")
    if dry_run:
        return preview(paths(inputs), Path(out), recipe, mask, recursive, as_json)
    if not urls:
        tell_unaccepted(paths(inputs), recursive, Path(out), as_json)
    if recipe.model == "embedded" and recipe.protection().asks_model:
        talk.print(EMBEDDED_WORTH, style="dim")
    if recipe.model != "embedded" and recipe.protection().against and not recipe.protection().asks_model:
        talk.print(
            f"method {recipe.method} asks encoders alone, not {shown(recipe.model)}: name its autoencoder, as in "
            "--against flux2,sd1,own=FOLDER, or choose a --method that asks it", style="dim", markup=False,
        )  # fmt: skip
    counts, started = {"protected": 0, "skipped": 0, "failed": 0}, time.monotonic()
    comparison = compared(Path(out), recipe) if compare else nullcontext(None)
    with counted(out), comparison as sheets, bar() as tell:

        def report(done: float, total: int) -> None:
            written = counts["protected"] + counts["skipped"]
            tell(done, total, f"protecting, {written} of {total} written")

        options: dict[str, Any] = {"mask": mask, "recursive": recursive, "overwrite": overwrite, "progress": report}
        options["ray"] = ray
        options["remark"] = lambda text: talk.print(text, style="dim", markup=False)
        for result in batch.protect(inputs, out, recipe, **options):
            counts[result.status] += 1
            show(result, as_json)
            if sheets and result.output:
                sheets.add(Path(result.source), Path(result.output), result.measured)
    summary = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    pace = counts["protected"] / (time.monotonic() - started)
    talk.print(
        f"{summary}{f', {pace:.3g} pictures a second' if ray and counts['protected'] else ''}; journal in {shown(out)}"
    )
    return counts["failed"]


@contextmanager
def compared(out: Path, recipe: Recipe) -> Iterator[Comparison]:
    """The sheets of a run, and their page when it is over or stopped."""
    from unlearnable.evaluation.comparison import Comparison

    sheets = Comparison(out, recipe.web_size)
    try:
        yield sheets
    finally:
        if page := sheets.close():
            talk.print(f"compare originals and twins: {shown(page)}", markup=False)


@contextmanager
def counted(out: Path | str) -> Iterator[None]:
    """When a run is stopped, say how many pictures are finished and that the same command resumes.

    The journal and the disk are asked, not what was shown: a picture may be finished and not yet be shown.
    """
    from unlearnable.jobs.sinks import Folder

    try:
        yield
    except (KeyboardInterrupt, DiskError) as error:
        sentence = f"what is finished is in {shown(out)}"
        if URL not in str(out) and Path(out).is_dir():
            folder = Folder.open(Path(out))
            finished = sum(map(folder.has, folder.journal.done.values()))
            sentence = f"{finished} finished {'picture is' if finished == 1 else 'pictures are'} in {shown(out)}"
        goes_on = "the same command goes on from there"
        if isinstance(error, KeyboardInterrupt):
            talk.print(f"unlearnable: interrupted; {sentence}; {goes_on}", markup=False)
            raise SystemExit(INTERRUPTED) from error
        talk.print(f"stopped; {sentence}; {goes_on}", markup=False)
        raise


def tell_unaccepted(inputs: list[Path], recursive: bool, out: Path | None, as_json: bool) -> None:
    """One line that counts what folders hold and is not accepted; with `as_json` a JSON object for each as well."""
    from unlearnable.images import files

    skipped = files.unaccepted(inputs, recursive, out)
    if not skipped:
        return
    if as_json:
        for path, kind in skipped:
            sys.stdout.write(json.dumps({"source": str(path), "status": "not accepted", "kind": kind}) + "\n")
    talk.print(
        f"not accepted: {files.summary(skipped)}; export them as one of {ACCEPTED}", style="yellow", markup=False
    )


def show(result: Result, as_json: bool) -> None:
    """One line a picture: JSON or text on stdout, failures also said on stderr."""
    if as_json:
        line: dict[str, Any] = {
            "source": str(result.source),
            "status": result.status,
            "output": result.output and str(result.output),
        }
        from unlearnable.jobs.result import finite

        line |= {"measured": finite(result.measured), "notes": list(result.notes), "message": result.message}
        sys.stdout.write(json.dumps(line) + "\n")
        return
    if result.status == "failed":
        talk.print(f"failed: {result.message}", style="red", markup=False)
        return
    m = result.measured
    psnr = f"{m['psnr']:.1f} dB" if m.get("psnr") not in (None, float("inf")) else "no change"
    again = " (finished before)" if result.status == "skipped" else ""
    local = f"  around {m['local']:g}/255" if m.get("local") is not None else ""
    sys.stdout.write(f"{shown(result.output or '')}  L-inf {m['linf']:g}/255{local}  PSNR {psnr}{again}\n")
    where = "  " if talk.is_terminal and sys.stdout.isatty() else f"{shown(result.source)}: "  # apart from its line
    for note in result.notes:
        talk.print(f"{where}note: {note}", style="dim", markup=False)


def preview(inputs: list[Path], out: Path, recipe: Recipe, mask: Path | None, recursive: bool, as_json: bool) -> int:
    """Print what a run would do, picture by picture, without a model and without writing anything."""
    from unlearnable.errors import PictureError
    from unlearnable.images import files
    from unlearnable.jobs.run import check

    settings, failed = recipe.protection(), 0
    tell_unaccepted(inputs, recursive, out, as_json)
    pairs = files.find(inputs, recursive, out, recipe.pillow_format)
    check(recipe, pairs, mask)
    for source, name in pairs:
        try:
            picture = files.within(source, recipe.web_size)
        except PictureError as error:
            failed += 1
            talk.print(f"would fail: {error}", style="red", markup=False)
            continue
        height, width = picture.pixels.shape[:2]
        kind, _ = files.output_format(picture.format, recipe.pillow_format, plain=picture.plain)
        target = files.target(out, files.output_name(name, kind))
        if as_json:
            plan = {"source": str(source), "output": str(target), "width": width, "height": height, "status": "planned"}
            sys.stdout.write(json.dumps(plan) + "\n")
        else:
            sys.stdout.write(f"{shown(source)} ({width} x {height}) -> {shown(target)}\n")
    talk.print(
        f"{settings.name}, {settings.constraint.describe()}, {settings.rounds * settings.steps} steps; nothing written"
    )
    talk.print(recipe.toml(), style="dim", markup=False)
    return failed


@contextmanager
def interruptible(kept: Callable[[], str]) -> Iterator[None]:
    """On an interruption, say what is `kept` and how to go on, and exit with 130."""
    try:
        yield
    except KeyboardInterrupt as error:
        talk.print(f"unlearnable: interrupted; {kept()}", markup=False)
        raise SystemExit(INTERRUPTED) from error


@contextmanager
def bar(verb: str = "protecting") -> Iterator[Any]:
    """A progress bar over work that is done; a stream that is no terminal gets none."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    times = (TimeElapsedColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, *times, console=talk, transient=True, disable=not talk.is_terminal) as progress:
        task, eta = progress.add_task(verb, total=None, left=""), Eta()

        def tell(done: float, total: int, what: str = verb) -> None:
            seconds = eta.remaining(done, total)
            estimate = f"about {timedelta(seconds=round(seconds))} left" if seconds is not None else ""
            progress.update(task, completed=done, total=total, description=what, left=estimate)

        yield tell
