"""`unlearnable bench`: run a benchmark, report on it, list the names that a recipe can use."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unlearnable.cli import flags
from unlearnable.errors import UsageError, shown

if TYPE_CHECKING:
    from unlearnable.bench.executors import Executor
    from unlearnable.bench.study import Study
    from unlearnable.evaluation.rates import Estimate

FAILED = 1
app = typer.Typer(no_args_is_help=True, help="Every method against every attacker and countermeasure, by a recipe.")
EXAMPLES = """[bold]Examples[/bold]

unlearnable bench run benchmarks/recipes/bench/embedded.toml -o out/bench --jobs 2 --threads 1

unlearnable bench run recipe.toml -o out/bench --only method=advdm|ldu --only attack=dreambooth --minutes 50

unlearnable bench run recipe.toml -o out/bench --ray auto --gpus-per-cell 0.5

To resume, give the same command again."""

COMPARISONS = """[bold]Examples[/bold]

unlearnable bench compare out/bench ldu photoguard

unlearnable bench compare benchmarks/results/v2/embedded ldu mist --only budget=psnr:36.1 --only purify=none|jpeg:75"""


@app.command(epilog=EXAMPLES)
def run(
    recipe: Annotated[Path, typer.Argument(help="TOML file that says what is tried.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for cells and rows.json; made if need be.")],
    data: Annotated[Path | None, typer.Option(help="Folder of the subjects, in place of the recipe's.")] = None,
    jobs: Annotated[int, typer.Option(help="Processes; 1 works in this one.")] = 1,
    threads: Annotated[int, typer.Option(help="Of torch for each cell; 0 divides the cores among the jobs.")] = 0,
    ray: Annotated[str | None, typer.Option(help="auto (found, or started here) or a cluster's address.")] = None,
    gpus_per_cell: Annotated[float, typer.Option(help="With --ray: GPUs, or a part of one, for each cell.")] = 0,
    only: Annotated[list[str] | None, typer.Option(help="Some cells: axis=value, or axis=one|other.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what failed.")] = False,
    minutes: Annotated[float | None, typer.Option(help="Begin no cell after that time.")] = None,
    dry_run: flags.DryRun = False,
) -> None:
    """Protect, purify and attack all that a recipe names; finished cells are kept and never computed twice."""
    from unlearnable.bench.study import load

    study, chosen = load(recipe), only or []
    if data is not None:
        study = replace(study, data=str(data))
    if jobs < 1 or threads < 0:
        raise UsageError(f"{jobs} jobs of {threads} threads: give 1 job or more, and 0 threads or more")
    if ray is not None and jobs > 1:
        raise UsageError(f"--jobs {jobs} and --ray {ray}: give one of them, a cluster has as many jobs as fit on it")
    if dry_run:
        preview(study, out, chosen)
        return
    from unlearnable.bench.run import bench
    from unlearnable.cli.protect import bar, interruptible, talk

    command = shlex.join(["unlearnable", "bench", "run", str(recipe), "-o", str(out)])
    command += f" --data {shlex.quote(str(data))}" if data is not None else ""
    command += "".join(f" --only {shlex.quote(text)}" for text in chosen)
    threads = threads or (1 if ray else 0 if jobs == 1 else max(1, (os.cpu_count() or 1) // jobs))

    def kept() -> str:
        return f"{len(list((out / 'cells').glob('*.json')))} cells are kept, the same command goes on from here"

    with interruptible(kept), bar("benchmark") as tell:
        progress = tell if talk.is_terminal else spoken
        options: dict[str, Any] = {"retry": retry, "minutes": minutes, "command": command, "progress": progress}
        options |= {"executor": place(jobs, threads, ray, gpus_per_cell), "threads": threads, "only": chosen}
        done = bench(study, out, **options)
    for line in done.failed:
        what = ", ".join(str(line[name]) for name in ("subject", "method", "budget", "purify", "attack") if line[name])
        talk.print(f"{line['status']}: {what}: {line['message']}", style="red", markup=False)
    waiting = len(done.missing) - len(done.failed)
    sys.stdout.write(f"{len(done.rows)} rows, {len(done.failed)} failed, {waiting} waiting: {shown(done.path)}\n")
    if done.failed:
        raise typer.Exit(FAILED)


@app.command()
def report(out: Annotated[Path, typer.Argument(help="Folder of a run, with rows.json.")]) -> None:
    """Write the report of a run: report.html, table.csv and table.parquet beside its rows."""
    from unlearnable.bench.page import write

    sys.stdout.write(f"{shown(write(out))}\n")


@app.command(epilog=COMPARISONS)
def compare(
    out: Annotated[Path, typer.Argument(help="Folder of a run, with rows.json.")],
    method: Annotated[str, typer.Argument(help="A method, as its rows name it.")],
    other: Annotated[str, typer.Argument(help="Another.")],
    only: Annotated[list[str] | None, typer.Option(help="Some cells: axis=value, or axis=one|other.")] = None,
) -> None:
    """Two methods beside each other: both rates, their difference, and intervals over the same subjects."""
    from unlearnable.bench import compare as two
    from unlearnable.bench.page import load

    tables = two.comparable(load(out)["rows"], method, other, only or [])
    compared = [(table, lines) for table in tables if (lines := two.compare(table, method, other))]
    if not compared:
        raise UsageError(f"no subject has all cells of {method} and {other}: name what both have, --only purify=none")
    for table, lines in compared:
        sys.stdout.write(f"{table.model}, {table.budget}, {table.attack or 'all attackers'}: protection rates, %\n")
        sys.stdout.write(f"  {'':15}{'subjects':>8}  {method:24}{other:24}difference, points\n")
        for line in lines:
            rates = "".join(f"{tenths(e):24}" for e in (line.first, line.second, line.gap))
            sys.stdout.write(f"  {line.where:15}{line.subjects:8}  {rates.rstrip()}\n")


def tenths(e: Estimate) -> str:
    """An estimate in per cent, to one decimal: ``5.9 (-1.3 to 13.8)``."""
    if not e.defined:
        return "undefined"
    low, value, high = (f"{100 * x:.1f}" for x in (e.low, e.value, e.high))
    return f"{value} ({low} to {high})" if low != "nan" else f"{value} (no interval)"


@app.command("list")
def list_all() -> None:
    """What a recipe can name: layouts of data, methods, attackers, countermeasures."""
    from unlearnable import registry
    from unlearnable.bench.study import BUDGETS
    from unlearnable.bench.subjects import LAYOUTS

    named = {"layout": list(LAYOUTS), "methods": registry.names("method"), "budgets": [f"{b}:VALUE" for b in BUDGETS]}
    named |= {"purify": ["none", *registry.names("purifier")], "attackers": registry.names("attacker")}
    for key, values in named.items():
        sys.stdout.write(f"{key:10} {', '.join(values)}\n")


def place(jobs: int, threads: int, ray: str | None, gpus: float) -> Executor:
    """The executor that the flags ask for."""
    if ray is not None:
        from unlearnable.bench.executors.ray import Ray

        return Ray(ray, max(1, threads), gpus)
    if jobs > 1:
        from unlearnable.bench.executors.pool import Pool

        return Pool(jobs)
    from unlearnable.bench.executors.serial import SerialExecutor

    return SerialExecutor()


def spoken(done: float, total: int, what: str = "") -> None:
    """Progress for a stream that is not a terminal: a line for each finished cell."""
    from unlearnable.cli.protect import talk

    if what:
        talk.print(f"{round(done)} of {total} done, {what}", style="dim", markup=False)


def preview(study: Study, out: Path, only: list[str]) -> None:
    """Print each cell that a run would do, without writing anything."""
    from unlearnable.bench.run import pending
    from unlearnable.cli.protect import talk

    todo, points = pending(study, out, only)
    for task in todo:
        sys.stdout.write(f"{task.kind}: {task.label}\n")
    counts = {kind: sum(task.kind == kind for task in todo) for kind in ("protect", "purify", "attack")}
    summary = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    talk.print(f"{points} rows; cells to do: {summary}; nothing written", markup=False)
