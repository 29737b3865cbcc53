"""`unlearnable edit`: what an editor makes of protected pictures, beside what it makes of their originals."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from unlearnable.cli import flags
from unlearnable.inputs import METHOD

EXAMPLES = """[bold]Examples[/bold]

unlearnable edit photos protected -o edits --prompt "a photo of a person in prison"

unlearnable edit photo.png protected.png -o edits --prompt "a photo of a crowd" --mask background.png

It trains nothing: the same prompt and noise edit originals, protected twins and random noise of the same size."""


@flags.with_settings(where=flags.Loading)
def edit(
    clean: Annotated[Path, typer.Argument(help="Folder of originals, or one picture.")],
    protected: Annotated[Path, typer.Argument(help="Folder of their protected twins, or one picture.")],
    out: flags.Out,
    prompt: Annotated[str, typer.Option(help="What the edit should show.")],
    strength: Annotated[float, typer.Option(help="Share of noise to start from.", rich_help_panel=METHOD)] = 0.6,
    steps: Annotated[int, typer.Option(help="Steps of the sampler at strength 1.", rich_help_panel=METHOD)] = 50,
    guidance: Annotated[float, typer.Option(help="Weight of the prompt.", rich_help_panel=METHOD)] = 7.5,
    mask: Annotated[Path | None, typer.Option(help="Picture: light parts are painted anew (inpainting).")] = None,
    purify: Annotated[str, typer.Option(help="Countermeasures that come first; see purify --list.")] = "none",
    seed: flags.Seed = 0,
    recursive: flags.Recursive = False,
    as_json: flags.Json = False,
    where: Any = None,
) -> None:
    """Edit protected pictures as a stranger would, and compare with edits of the originals."""
    from unlearnable.cli.protect import bar
    from unlearnable.jobs import edit as editing
    from unlearnable.personalization.editor import Editor

    with bar("editing") as tell:
        report = editing.edit(
            clean, protected, out, prompt=prompt, editor=Editor(strength=strength, steps=steps, guidance=guidance),
            mask=mask, purify=purify, seed=seed, recursive=recursive, progress=tell, **where,
        )  # fmt: skip
    for problem in report["problems"]:
        typer.echo(f"failed: {problem}", err=True)
    if as_json:
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        sys.stdout.write("\n".join(lines(report)) + "\n")
    if report["problems"]:
        raise typer.Exit(1)


def lines(report: dict[str, Any]) -> list[str]:
    """The report as a table of means, distances from the edits of the originals."""
    metrics = list(next(iter(report["distances"].values())))
    rows = [["edits of", *metrics]]
    for kind, row in report["distances"].items():
        means = [row[name]["mean"] for name in metrics]
        rows.append([kind, *("same" if value is None else f"{value:.3f}" for value in means)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    table = ["  ".join(f"{cell:{w}}" for cell, w in zip(row, widths)).rstrip() for row in rows]
    return [*table, report["sentence"]]
