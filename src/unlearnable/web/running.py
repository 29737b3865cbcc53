"""The verbs over a session's folders, for tabs and for tests: nothing here knows of the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import unlearnable
from unlearnable.errors import UsageError
from unlearnable.jobs.result import Result
from unlearnable.jobs.run import loaded
from unlearnable.recipe import Recipe
from unlearnable.web.files import Session

ORIGINALS, TWINS, OTHERS = "originals", "twins", "others"  # slots that people upload into
PROTECTED, PURIFIED, AUDIT, TRIED, LOOKS = "protected", "purified", "audit", "tried", "looks"  # folders of results
NOTHING = "There are no pictures yet: add some first."
Tell = Callable[..., None]


def recipe(
    strength: str, method: str, prompt: str = "", steps: float | None = None, model: str = "", keep: bool = False
) -> Recipe:
    """The page's settings as a recipe; raises UsageError for what makes no sense."""
    known = Recipe()
    return Recipe(
        strength=strength, method=method, prompt=prompt.strip() or known.prompt, keep_metadata=bool(keep),
        steps=int(steps) if steps else None, model=model.strip() or known.model,
    )  # fmt: skip


@lru_cache(maxsize=2)
def model(name: str, asked: bool) -> Any:
    """A model, kept from one job to the next; only its outline where the method asks it nothing."""
    return loaded(Recipe(model=name, method="advdm" if asked else "random"))


def model_of(settings: Recipe) -> Any:
    return model(settings.model, settings.protection().asks_model)


def protect(session: Session, settings: Recipe, tell: Tell) -> Iterator[Result]:
    """Protect a session's originals; what is done already is skipped."""
    sources = session.pictures(ORIGINALS)
    if not sources:
        raise UsageError(NOTHING)
    options: dict[str, Any] = {"model": model_of(settings), "progress": tell}
    yield from unlearnable.protect(sources, session.out(PROTECTED), settings, **options)


def purify(session: Session, how: str, seed: int, keep: bool, tell: Tell) -> Iterator[Result]:
    """Run countermeasures over what was uploaded for it, or over what was protected here."""
    sources = session.pictures(OTHERS) or finished(session)
    if not sources:
        raise UsageError(NOTHING)
    options: dict[str, Any] = {"seed": seed, "keep_metadata": keep, "overwrite": True, "progress": tell}
    yield from unlearnable.purify(sources, session.out(PURIFIED), how, **options)


def finished(session: Session) -> list[Path]:
    """The protected twins that are there."""
    results: list[Result] = session.notes.get(PROTECTED, [])
    return [path for result in results if result.output and (path := Path(str(result.output))).is_file()]


def twins(session: Session) -> Path:
    """The folder of protected twins: those that were uploaded, else those that were made here."""
    if session.pictures(TWINS):
        return session.slot(TWINS)
    return session.out(PROTECTED)


def check(session: Session, encoders: str, tell: Tell) -> Iterator[Any]:
    """The report of `unlearnable encoders check`."""
    from unlearnable.evaluation.shifts import compare
    from unlearnable.models.encoders.load import load

    both(session)
    yield compare(session.slot(ORIGINALS), twins(session), load(encoders), progress=tell)


def audit(session: Session, settings: dict[str, Any], tell: Tell) -> Iterator[Any]:
    """`unlearnable.audit`, into a folder that the page may show."""
    from unlearnable.auditing.settings import Settings

    both(session)
    yield unlearnable.audit(
        session.slot(ORIGINALS), twins(session), session.out(AUDIT), Settings(**settings), progress=tell
    )


def both(session: Session) -> None:
    """Raise UsageError where originals or their twins are missing."""
    if not session.pictures(ORIGINALS):
        raise UsageError("There are no originals yet: add them first.")
    if not session.pictures(TWINS) and not finished(session):
        raise UsageError("There are no protected pictures yet: protect the originals, or add their protected twins.")


def sentence(result: Result) -> str:
    """A failure's sentence with the picture's name in place of this machine's folders."""
    source = Path(str(result.source))
    return result.message.replace(str(source), source.name).replace(f"{source.parent}/", "")
