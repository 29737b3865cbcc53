"""`unlearnable measure`: compare two folders of pictures, as a table or as JSON."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unlearnable.cli import flags

if TYPE_CHECKING:
    from unlearnable.metrics.base import Score
    from unlearnable.metrics.folders import Report

EXAMPLES = """[bold]Examples[/bold]

unlearnable measure photos protected

unlearnable measure photos protected --metrics psnr,linf --json

unlearnable measure photos generated --metrics similarity,fid,coverage --features dinov2

Pictures are paired by name, whatever their format. Of metrics that compare whole folders the names do not matter."""
NAMED = 5  # pictures without a partner that are named; the rest is counted


def listed(asked: bool) -> None:
    """Print each metric's description: its unit, better direction, needs and source."""
    if asked:
        from unlearnable import registry

        for name in registry.names("metric"):
            text = "\n".join(f"  {line.strip()}" for line in registry.entry(name, "metric").text.splitlines() if line)
            typer.echo(f"{name}\n{text}\n")
        raise typer.Exit


def measure(
    clean: Annotated[Path, typer.Argument(help="Folder of originals, or one picture.")],
    protected: Annotated[Path, typer.Argument(help="Folder of protected or generated pictures, or one picture.")],
    metrics: Annotated[
        str, typer.Option(help="Names joined by commas; see --list. perceptual: LPIPS, or what comes nearest here.")
    ] = "psnr,ssim,ms-ssim,linf,ciede2000,changed,perceptual",
    features: Annotated[
        str, typer.Option(help="embedded-features, clip, dinov2 or inception; name:source takes other weights.")
    ] = "embedded-features",
    prompt: Annotated[str, typer.Option(help="The text that pictures are compared with, for clip-t.")] = "",
    recursive: flags.Recursive = False,
    seed: Annotated[int, typer.Option(help="Seed of the intervals.")] = 0,
    as_json: flags.Json = False,
    device: flags.Device = "auto",
    offline: flags.Offline = False,
    show: Annotated[
        bool, typer.Option("--list", callback=listed, is_eager=True, help="Explain the metrics and stop.")
    ] = False,
) -> None:
    """Measure how far protected pictures are from their originals, or generated ones from real ones."""
    from unlearnable.cli import protect as cli_protect
    from unlearnable.metrics import folders

    options: dict[str, Any] = {"features": features, "device": device, "recursive": recursive, "seed": seed}
    options |= {"offline": offline, "prompt": prompt}
    cli_protect.tell_unaccepted([clean, protected], recursive, None, False)
    with cli_protect.bar("measuring") as tell:
        report = folders.measure(clean, protected, metrics, progress=tell, **options)
    if as_json:
        sys.stdout.write(json.dumps(as_dict(report), allow_nan=False) + "\n")
    else:
        sys.stdout.write(table(report))
    for note in (*report.notes, *alone(report)):
        cli_protect.talk.print(f"note: {note}", style="dim", markup=False)
    for message in report.failed:
        cli_protect.talk.print(f"failed: {message}", style="red", markup=False)
    if report.failed:
        raise typer.Exit(1)


def table(report: Report) -> str:
    """The report as a table, one line a metric: mean, interval of the mean, worst picture."""
    rows = [("metric", "better", "mean", "95 % interval", "worst", "")]
    for score in report.scores.values():
        low, high = map(shortened, score.interval())
        title = f"{score.name} [{score.unit}]" if score.unit else score.name
        worst = shortened(score.worst) if len(score.values) > 1 else ""
        better = "higher" if score.higher_is_better else "lower"
        name = score.worst_name if worst else ""
        rows.append((title, better, shortened(score.mean), f"{low} to {high}", worst, name))
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "".join("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths)).rstrip() + "\n" for row in rows)


def shortened(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4g}"


def alone(report: Report) -> list[str]:
    """A remark for each side that has pictures without a partner; it names the first few."""
    remarks = []
    for side, names in (("clean", report.only_clean), ("protected", report.only_protected)):
        if names:
            more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
            remarks.append(f"only among the {side} pictures: {', '.join(names[:NAMED])}{more}")
    return remarks


def as_dict(report: Report) -> dict[str, Any]:
    """The report for JSON, in which infinity and NaN become null."""

    def summary(score: Score) -> dict[str, Any]:
        low, high = map(finite, score.interval())
        facts = {"name": score.name, "unit": score.unit, "higher_is_better": score.higher_is_better}
        figures = {"mean": finite(score.mean), "low": low, "high": high, "worst": finite(score.worst)}
        return facts | figures | {"count": len(score.defined), "note": score.note}

    pictures: dict[str, dict[str, Any]] = {}
    for metric, score in report.scores.items():
        for name, value in zip(score.names, score.values.tolist()):
            pictures.setdefault(name, {"name": name})[metric] = finite(value)
    return {
        "metrics": {name: summary(score) for name, score in report.scores.items()},
        "pictures": list(pictures.values()),
        "only_clean": list(report.only_clean),
        "only_protected": list(report.only_protected),
        "failed": list(report.failed),
        "notes": list(report.notes),
    }


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
