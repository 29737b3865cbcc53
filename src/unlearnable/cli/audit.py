"""`unlearnable audit`: attack one's own pictures and report what the attackers learned."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unlearnable.auditing.settings import Settings
from unlearnable.cli import flags
from unlearnable.cli.lists import show_all

if TYPE_CHECKING:
    from unlearnable.auditing.facts import Audit

EXAMPLES = """[bold]Examples[/bold]

unlearnable audit photos protected --prompt "a photo of sks dog" --held-out others

unlearnable audit photos protected -o report --attack dreambooth,lora --purify none,jpeg:75+resize:0.5 --seeds 0,1,2

An audit that was interrupted goes on when the same command is given again."""
FAILED = 1


def choices(asked: bool) -> None:
    """Print the names for --attack and --purify, and stop."""
    if asked:
        for title, kind in (("attackers (--attack)", "attacker"), ("countermeasures (--purify)", "purifier")):
            typer.echo(f"{title}:")
            show_all(kind)
        raise typer.Exit


@flags.with_settings(changes=Settings)
def audit(
    clean: Annotated[Path, typer.Argument(help="Folder of the clean pictures of one subject.")],
    protected: Annotated[Path, typer.Argument(help="Folder of their protected twins, of the same names.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the report; made if need be.")] = Path("audit"),
    held_out: Annotated[Path | None, typer.Option(help="Other clean pictures of the subject, to test on.")] = None,
    dry_run: flags.DryRun = False,
    as_json: flags.Json = False,
    show: Annotated[
        bool, typer.Option("--list", callback=choices, is_eager=True, help="List attackers, countermeasures; stop.")
    ] = False,
    changes: Any = None,
) -> None:
    """Attack your own pictures, clean and protected, and report what the attackers learned: measured, not promised."""
    from unlearnable.cli import protect as cli_protect

    settings = Settings(**changes)
    cli_protect.tell_unaccepted([clean, protected, *([held_out] if held_out else [])], True, None, False)
    if dry_run:
        preview(clean, protected, settings, held_out)
        return
    from unlearnable.auditing.run import audit as run

    def kept() -> str:
        finished = len(list((out / "cells").glob("*.json")))
        return f"{finished} finished trials are kept, the same command goes on from here"

    with cli_protect.interruptible(kept), cli_protect.bar("auditing") as tell:
        progress = tell if cli_protect.talk.is_terminal else spoken()
        done = run(clean, protected, out, settings, held_out=held_out, progress=progress)
    report(done, as_json)
    if done.problems:
        raise typer.Exit(FAILED)


def report(done: Audit, as_json: bool) -> None:
    """Print the verdict to stdout, and files left out and doubts to stderr."""
    from unlearnable.cli.protect import talk
    from unlearnable.errors import shown

    facts = done.report
    for problem in done.problems:
        talk.print(f"left out: {problem}", style="red", markup=False)
    if as_json:
        sys.stdout.write(json.dumps(facts) + "\n")
    else:
        lines = [facts["encoders"]["summary"], facts["verdict"]["headline"], *facts["verdict"]["sentences"]]
        lines.append(shown(done.page))
        sys.stdout.write("\n".join(lines) + "\n")
    for check in facts["checks"]:
        style = "red" if check["grave"] else "yellow"
        talk.print(f"doubt: {check['text']} ({check['see']})", style=style, markup=False)
    for sentence in facts["not_checked"]:
        talk.print(sentence, style="dim", markup=False)


def preview(clean: Path, protected: Path, settings: Settings, held_out: Path | None) -> None:
    """Print the tasks of an audit, without a model and without writing anything."""
    from unlearnable.auditing.tasks import tasks
    from unlearnable.cli.protect import talk
    from unlearnable.evaluation.material import conditions
    from unlearnable.evaluation.pairs import subject

    settings.check()
    todo = tasks(settings, conditions(settings.chains()))
    pictures = subject(clean, protected, held_out)
    for task in todo:
        sys.stdout.write(f"{task}\n")
    for problem in pictures.problems:
        talk.print(f"would be left out: {problem}", style="red", markup=False)
    for note in pictures.notes:
        talk.print(note, style="dim", markup=False)
    talk.print(
        f"{len(pictures.train)} pairs to train on, {len(pictures.held_out)} photographs held out; nothing written"
    )


def spoken() -> Callable[[float, int, str], None]:
    """Progress for a stream that is not a terminal: a line for each cell when it starts."""
    from unlearnable.cli.protect import talk

    started, last = time.monotonic(), [""]

    def tell(done: float, total: int, what: str) -> None:
        if what == last[0]:
            return
        last[0] = what
        left = (time.monotonic() - started) * (total - done) / done if done else 0.0
        about = f", about {max(1, round(left / 60))} min left" if left else ""
        talk.print(f"{round(done)} of {total} done{about}: {what}", style="dim", markup=False)

    return tell
