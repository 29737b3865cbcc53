"""`unlearnable encoders`: list encoders, and check how far finished files move their latents."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unlearnable.cli import flags
from unlearnable.inputs import split

if TYPE_CHECKING:
    from unlearnable.evaluation.shifts import Report, Shift

app = typer.Typer(no_args_is_help=True, help="The encoders through which models see a picture.")

EXAMPLES = """[bold]Examples[/bold]

unlearnable encoders check photos protected

unlearnable encoders check photos protected --against flux2,sd1,mine=folder --least 2.5

Exit code 1: some encoder's latents are moved less than --least times as far as by random noise."""


@app.command("list")
def show() -> None:
    """Print what encoders are known, which are on this machine, and what is trained on their latents."""
    from unlearnable.models.encoders.families import FAMILIES
    from unlearnable.models.encoders.load import local
    from unlearnable.models.encoders.standin import NAMES

    for name, family in FAMILIES.items():
        present = "on this machine" if local(family.repository, family.subfolder) else ""
        where = present or ("stand-in ships" if name in NAMES else "not here")
        typer.echo(f"{name:6} {where:16} about {family.megabytes:4} MB  {family.models}  ({family.repository})")


@app.command(epilog=EXAMPLES)
def check(
    clean: Annotated[Path, typer.Argument(help="Folder of originals, or one picture.")],
    protected: Annotated[Path, typer.Argument(help="Folder of their protected twins, or one picture.")],
    against: Annotated[
        str, typer.Option(help="Encoders; see `encoders list`. NAME=FOLDER-or-hub-id for your own.")
    ] = "flux2,sd1",
    purify: Annotated[str, typer.Option(help="Countermeasures, joined by commas.")] = "none,resize:0.5+jpeg:75",
    least: Annotated[float, typer.Option(help="Ratio to random noise below which the exit code is 1.")] = 2.0,
    side: Annotated[int, typer.Option(help="Shorter side in px that pictures are scaled to, at most.")] = 512,
    recursive: flags.Recursive = False,
    seed: Annotated[int, typer.Option(help="Seed of the noise and the countermeasures.")] = 0,
    as_json: flags.Json = False,
    offline: flags.Offline = False,
) -> None:
    """Compare how far protected files move each encoder's latents with random noise of the same size."""
    from unlearnable.cli.protect import bar, talk
    from unlearnable.evaluation.shifts import compare
    from unlearnable.models.encoders.load import load

    encoders = load(against, offline=offline)
    chains = split(purify, tuple[str, ...], "--purify")
    with bar("comparing") as tell:
        report = compare(
            clean, protected, encoders, purify=chains, side=side, recursive=recursive, seed=seed, progress=tell
        )
    sys.stdout.write(json.dumps(as_dict(report)) + "\n" if as_json else table(report))
    for sentence in report.failed:
        talk.print(f"failed: {sentence}", style="red", markup=False)
    stand_ins = sorted({shift.encoder for shift in report.shifts if not shift.real})
    if stand_ins:
        talk.print(
            f"{' and '.join(stand_ins)}: small stand-ins that learned from encoders of these latents. The real ones "
            "decide; name them by --against NAME=FOLDER",
            style="dim", markup=False,
        )  # fmt: skip
    if report.failed or any(shift.ratio.value < least for shift in report.shifts):
        raise typer.Exit(1)


def table(report: Report) -> str:
    """The report as a table: a line for each encoder and countermeasure."""
    head = ("encoder", "", "behind", "protected", "noise", "ratio", "95 % interval")
    rows: list[tuple[str, ...]] = [head, *(line(shift) for shift in report.shifts)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    title = f"{len(report.names)} picture{'s' if len(report.names) != 1 else ''}: shift of the latents, in spreads\n"
    return title + "".join("  ".join(f"{c:{w}}" for c, w in zip(row, widths)).rstrip() + "\n" for row in rows)


def line(shift: Shift) -> tuple[str, ...]:
    means = (sum(values) / len(values) for values in (shift.protected, shift.noise))
    ratio = shift.ratio
    ends = "no interval" if math.isnan(ratio.low) else f"{ratio.low:.2f} to {ratio.high:.2f}"
    kind = "real" if shift.real else "stand-in"
    return (shift.encoder, kind, shift.purify, *(f"{m:.3f}" for m in means), f"{ratio.value:.2f}", ends)


def as_dict(report: Report) -> dict[str, object]:
    """The report for JSON; a missing interval is null."""
    shifts = [
        {
            "encoder": s.encoder, "source": s.source, "real": s.real, "behind": s.purify, "protected": s.protected,
            "noise": s.noise, "ratio": s.ratio.value,
            "interval": None if math.isnan(s.ratio.low) else [s.ratio.low, s.ratio.high],
        }
        for s in report.shifts
    ]  # fmt: skip
    return {"pictures": report.names, "shifts": shifts, "failed": report.failed}
