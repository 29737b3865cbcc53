"""The `--list` option of commands that take names from the registry."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from unlearnable.errors import UsageError

if TYPE_CHECKING:
    from unlearnable.registry import Entry


def show_all(kind: str) -> None:
    """Print a line for each entry of a kind, and to stderr a sentence for each plug-in that cannot be used."""
    from unlearnable import registry

    entries = [registry.entry(name, kind) for name in registry.names(kind)]
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        title, _, rest = entry.summary.partition(": ")
        named = title.lower().replace(" ", "-") == entry.name
        typer.echo(f"{entry.name:{width}}  {rest if named else entry.summary}")
    for sentence in broken(kind):
        typer.echo(f"unlearnable: {sentence}", err=True)


def table(entries: Sequence[Entry]) -> list[str]:
    """Methods in lines of 100 columns at most: a row of facts, and below it what the method does."""
    head = ("method", "year", "budget", "passes", "for", "paper")
    rows = [head]
    for e in entries:
        f = e.facts
        passes = "" if f.passes is None else f"{f.passes:,}"
        rows.append((e.name, str(f.year or ""), f.budget, passes, f.use, f.paper))
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = []
    for row, entry in zip(rows, [None, *entries]):
        cells = [f"{cell:>{w}}" if i == 3 else f"{cell:{w}}" for i, (cell, w) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
        if entry:
            summary = entry.summary.partition(": ")[2] or entry.summary
            lines += textwrap.wrap(summary, 96, initial_indent="    ", subsequent_indent="    ")
    note = "passes: how often a denoiser is asked about one picture at the paper's settings, training included"
    return [*lines, note]


def listing(kind: str) -> Callable[[bool], None]:
    """An option's callback that lists all entries of a kind and stops."""

    def callback(asked: bool) -> None:
        if asked:
            show_all(kind)
            raise typer.Exit

    return callback


def broken(kind: str) -> list[str]:
    """A sentence for each plug-in of a kind that cannot be used."""
    from unlearnable import registry
    from unlearnable.personalization.presets import presets
    from unlearnable.protection.strengths import protection

    loaders: dict[str, Callable[[str], Any]] = {"method": protection, "attacker": presets}
    load = loaders.get(kind, partial(registry.load, kind=kind))
    sentences = [
        f"{kind} {name!r} of {where} is left out: that name is one of ours"
        for name, where in sorted(registry.third_parties(kind).items())
        if name in registry.KINDS[kind]
    ]
    for name in sorted(set(registry.third_parties(kind)) - set(registry.KINDS[kind])):
        try:
            load(name)
        except UsageError as error:
            sentences.append(str(error))
    return sentences
