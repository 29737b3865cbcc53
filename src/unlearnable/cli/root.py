"""The command line, thin: parse, call, print, exit code. Results go to stdout, progress and remarks to stderr.

Exit codes: 0 done, 1 some inputs failed, 2 wrong usage, 3 this machine lacks something, 130 interrupted (run it again).
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from unlearnable.cli import audit as cli_audit
from unlearnable.cli import bench as cli_bench
from unlearnable.cli import edit as cli_edit
from unlearnable.cli import encoders, flags, lists
from unlearnable.cli import fastprotect as cli_fastprotect
from unlearnable.cli import ldu as cli_ldu
from unlearnable.cli import measure as cli_measure
from unlearnable.cli import personalize as cli_personalize
from unlearnable.cli import purify as cli_purify
from unlearnable.cli import remover as cli_remover
from unlearnable.cli import web as cli_web
from unlearnable.errors import SetupError, UnlearnableError, UsageError, shown
from unlearnable.inputs import FILES
from unlearnable.recipe import BUDGETS, Recipe, load

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Make pictures hard for diffusion models to learn, and measure whether that worked.",
    epilog="Perturbations raise an attacker's cost; they guarantee nothing.",
)
models_app = typer.Typer(no_args_is_help=True, help="The diffusion models that protections can work against.")
app.add_typer(models_app, name="models")
app.add_typer(cli_bench.app, name="bench")
app.add_typer(encoders.app, name="encoders")

FAILED, USAGE, SETUP, INTERRUPTED = 1, 2, 3, 130

EXAMPLES = """[bold]Examples[/bold]

unlearnable protect photo.jpg -o protected

unlearnable protect photos -r -o protected --strength subtle

unlearnable protect art.png -o out --method mist --eps 6 --model stable-diffusion-v1-5/stable-diffusion-v1-5

To resume an interrupted run, give the same command again."""


@app.command(epilog=EXAMPLES)
@flags.with_settings(changes=Recipe)
def protect(
    inputs: Annotated[list[str], typer.Argument(help="Pictures or folders of pictures; with --ray, URLs too.")],
    out: Annotated[str, typer.Option("--out", "-o", help="Folder for the results; made if need be.")],
    recipe: Annotated[Path | None, typer.Option(help="TOML file of these settings; flags win over it.")] = None,
    mask: Annotated[
        Path | None, typer.Option(help="Picture or folder: light parts may change.", rich_help_panel=FILES)
    ] = None,
    recursive: flags.Recursive = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also write a page with a slider for each picture.", rich_help_panel=FILES)
    ] = False,
    overwrite: flags.Overwrite = False,
    dry_run: flags.DryRun = False,
    as_json: flags.JsonLines = False,
    ray: Annotated[
        str | None, typer.Option(help="auto or an address: let a Ray cluster do it, for huge folders.")
    ] = None,
    changes: Any = None,
) -> None:
    """Write protected twins of pictures: same size, same colours, looking unchanged."""
    from unlearnable.cli.protect import run

    base = Recipe(**load(recipe)) if recipe else Recipe()
    if changes.keys() & BUDGETS:  # a budget on the command line replaces the recipe's, of any kind
        base = replace(base, eps=None, psnr=None, perceptual=None)
    if "strength" in changes and changes.keys() & {*BUDGETS}:
        which = ", ".join(f"--{name}" for name in BUDGETS if name in changes)
        typer.echo(
            f"note: {which} replaces the budget of --strength {changes['strength']}; its other settings stay", err=True
        )
    failed = run(
        inputs, out, replace(base, **changes), mask=mask, recursive=recursive, overwrite=overwrite, compare=compare,
        dry_run=dry_run, as_json=as_json, ray=ray,
    )  # fmt: skip
    if failed:
        raise typer.Exit(FAILED)


app.command(epilog=cli_purify.EXAMPLES)(cli_purify.purify)
app.command(epilog=cli_personalize.EXAMPLES)(cli_personalize.personalize)
app.command(epilog=cli_edit.EXAMPLES)(cli_edit.edit)
app.command(epilog=cli_measure.EXAMPLES)(cli_measure.measure)
app.command(epilog=cli_audit.EXAMPLES)(cli_audit.audit)
app.command(epilog=cli_remover.EXAMPLES)(cli_remover.train_remover)
app.command(epilog=cli_fastprotect.EXAMPLES)(cli_fastprotect.train_fastprotect)
app.command(epilog=cli_web.EXAMPLES)(cli_web.ui)
app.command(epilog=cli_ldu.SHORTCUT_EXAMPLES)(cli_ldu.train_shortcut)
app.command(epilog=cli_ldu.LDU_EXAMPLES)(cli_ldu.train_ldu)


@app.command()
def methods(
    name: Annotated[str | None, typer.Argument(help="Say all about this one.")] = None,
    as_json: flags.Json = False,
) -> None:
    """List the protections with their cost and use, or explain one: paper, equation, budget, deviations."""
    from unlearnable import registry

    chosen = [registry.entry(n) for n in ([name] if name else registry.names())]
    for sentence in lists.broken("method"):
        typer.echo(f"unlearnable: {sentence}", err=True)
    if as_json:
        typer.echo(json.dumps([asdict(e) | asdict(e.facts) for e in chosen], indent=2))
    elif name:
        typer.echo(chosen[0].text)
    else:
        for line in lists.table(chosen):
            typer.echo(line)


@models_app.command("list")
def models_list() -> None:
    """Checkpoints of the supported families, and whether they are here. A folder of one of them works too."""
    from unlearnable.models.load import KNOWN, folder_of

    width = max(map(len, KNOWN))
    for name, what in KNOWN.items():
        typer.echo(f"{name:{width}}  {'here ' if folder_of(name) else 'away '}  {what}")


@models_app.command("path")
def models_path(name: Annotated[str, typer.Argument(help="embedded, a folder or a hub id.")] = "embedded") -> None:
    """Print the folder a model is in."""
    from unlearnable.models.load import folder_of

    folder = folder_of(name)
    if folder is None:
        raise SetupError(f"model {name!r} is not on this machine: fetch it with `hf download {name}`")
    typer.echo(str(folder))


@app.command()
def doctor(
    model: Annotated[
        str | None, typer.Option(help="Folder or hub id: what memory it takes, from its configurations.")
    ] = None,
    as_json: flags.Json = False,
) -> None:
    """Explain this machine: versions, device, memory, offline mode, and what is wrong with them."""
    from unlearnable.doctor import examine

    findings = examine(model)
    if as_json:
        typer.echo(json.dumps([f.__dict__ for f in findings], indent=2))
    else:
        width = max(len(f.name) for f in findings)
        for f in findings:
            typer.echo(f"{'ok  ' if f.ok else 'WARN'}  {f.name:{width}}  {f.value}")
    if not all(f.ok for f in findings):
        raise typer.Exit(SETUP)


def version(asked: bool) -> None:
    if asked:
        from unlearnable import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def root(
    show: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def interrupt(*_: object) -> NoReturn:
    """SIGTERM counts as an interrupt: finished work is kept and reported."""
    raise KeyboardInterrupt


def dashes(words: list[str]) -> None:
    """Raise UsageError for a file whose name starts with a dash, which would be read as options."""
    from unlearnable.images.formats import SUFFIXES

    for word in words[: words.index("--")] if "--" in words else words:
        if word.startswith("-") and (os.path.splitext(word)[1].lower() in SUFFIXES or os.path.lexists(word)):
            raise UsageError(
                f"{shown(word)} would be read as an option: write {shown(os.path.join('.', word))}, or -- before it"
            )


def fail(text: str, code: int) -> NoReturn:
    typer.echo(f"unlearnable: {text}", err=True)
    sys.exit(code)


def main() -> Any:
    """Entry point: every expected error is one sentence on stderr and an exit code."""
    signal.signal(signal.SIGTERM, interrupt)
    try:
        dashes(sys.argv[1:])
        app()
    except KeyboardInterrupt:
        fail("interrupted; the same command goes on from what is finished", INTERRUPTED)
    except UsageError as error:
        fail(str(error), USAGE)
    except SetupError as error:
        fail(str(error), SETUP)
    except UnlearnableError as error:
        fail(str(error), FAILED)
