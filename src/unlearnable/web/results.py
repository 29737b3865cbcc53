"""What a session's jobs came to, as the page shows it: HTML, files and nothing of the page itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

from unlearnable.errors import UnlearnableError
from unlearnable.jobs.result import Result
from unlearnable.protection.strengths import STRENGTHS
from unlearnable.recipe import Recipe
from unlearnable.web import html, running, shown, trying, words
from unlearnable.web.files import Session
from unlearnable.web.work import Job, follow

THUMBNAILS = 12
ORIGINAL, TIME = "original", "time"
ORDER = (ORIGINAL, *STRENGTHS, TIME)  # weakest first, whichever was tried first


@dataclass(frozen=True)
class Gathered:
    """Names and files of twins, their table, and all of them in a ZIP."""

    names: list[str]
    files: list[Path]
    html: str
    archive: Path | None


def gathered(session: Session, folder: str = running.PROTECTED) -> Gathered:
    """The results of a verb that a session remembers."""
    results: Sequence[Result] = session.notes.get(folder, [])
    files = [Path(str(result.output)) for result in results if result.output]
    archive = shown.packed(files, session.shown / f"{folder}.zip") if files else None
    return Gathered([path.name for path in files], files, table(results), archive)


def table(results: Sequence[Result]) -> str:
    """A row for each picture that became something, a sentence for each that did not."""
    done = [result for result in results if result.output]
    rows = [
        [Path(str(r.output)).name, words.seen(r.measured), words.figures(r.measured), "; ".join(r.notes)] for r in done
    ]
    failed = [running.sentence(result) for result in results if result.status == "failed"]
    head = ["Picture", "Can you see it?", "Measured", "Notes"]
    links = {row[0]: Path(str(result.output)) for row, result in zip(rows, done)}
    made = html.table(head, rows, f"{words.count(len(done))} done; a name is a download", links) if done else ""
    return made + html.listed(failed, f"{words.count(len(failed))} could not be used")


def compared(session: Session, name: str | None) -> str:
    """One result and its original on a slider, what was measured in words, and the difference."""
    results: Sequence[Result] = session.notes.get(running.PROTECTED, [])
    found = next((r for r in results if r.output and Path(str(r.output)).name == name), None)
    if found is None:
        return ""
    source, twin = Path(str(found.source)), Path(str(found.output))
    try:
        seen = shown.look(source, twin, session.out(running.LOOKS) / str(twin.stat().st_mtime_ns))
    except UnlearnableError as error:
        return f"<p>{escape(str(error))}</p>"
    reduced = f" Shown at {seen.scale:.0%} of its size; the download has all of it." if seen.scale < 1 else ""
    text = (
        f"Can you see it? {words.seen(found.measured)} ({words.figures(found.measured)}.) Below is the difference, "
        f"amplified {seen.gain} times; grey means no change.{reduced}"
    )
    slider = html.slider(twin.name, seen.before, seen.after, *seen.size)
    difference = (seen.difference, "Difference", f"Difference, amplified {seen.gain} times")
    return f"{slider}<p>{escape(text)}</p>{html.gallery([difference], 'whole')}"


def progress(session: Session, job: Job) -> str:
    """How far a job is, and small copies of the last pictures that it finished."""
    done = [Path(str(result.output)) for result in job.results if result.output][-THUMBNAILS:]
    small = [(shown.thumbnail(path, session.out(running.LOOKS)), path.name, path.name) for path in done]
    counted = replace(job, done=max(job.done, len(job.results)))  # work counts pixels, and people count pictures
    return counted.html() + (html.gallery(small, "thumbnails") if small else "")


def trial(session: Session, settings: Callable[[], Recipe]) -> Iterator[str]:
    """The strengths on a piece of the first picture, as they come, and then how long the whole run will take."""

    def work(tell: Callable[..., None]) -> Iterator[Any]:
        recipe, sources = settings(), session.pictures(running.ORIGINALS)
        folder = session.out(running.TRIED)
        cut = shown.piece(shown.first_readable(sources), folder)
        yield ORIGINAL, cut, None
        yield from trying.strengths(cut, folder, recipe, tell)
        yield TIME, len(sources), trying.foretold(cut, folder, recipe, sources, tell)

    for job in follow(work, session.begin()):
        pictures = [
            (path, name, f"{name.capitalize()}. {words.seen(measured)}" if measured else "Original")
            for name, path, measured in sorted(job.results, key=lambda result: ORDER.index(result[0]))
            if name != TIME
        ]
        yield (outcome(job) if job.state == "done" else job.html()) + html.gallery(pictures)


def outcome(job: Job) -> str:
    """What the trial found out."""
    _, number, seconds = job.results[-1]
    lasts = f"about {words.lasts(seconds)}" if seconds is not None else "a time that could not be estimated"
    text = (
        "Each strength on one piece of your first picture, in a hurry: it changes about as much as in the long run. "
        f" {words.count(number).capitalize()} will take {lasts} on this machine."
    )
    return f'<div role="status"><p>{escape(text)}</p></div>'
