"""The `--list` of commands that offer a choice of things from the registry."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import typer

from unlearnable.errors import UsageError


def show_all(kind: str) -> None:
    """Print a line for everything of a kind; on stderr a sentence for each third party's thing that cannot be used."""
    from unlearnable import registry

    entries = [registry.entry(name, kind) for name in registry.names(kind)]
    width = max(len(entry.name) for entry in entries)
    for entry in entries:
        title, _, rest = entry.summary.partition(": ")
        named = title.lower().replace(" ", "-") == entry.name
        typer.echo(f"{entry.name:{width}}  {rest if named else entry.summary}")
    for sentence in broken(kind):
        typer.echo(f"unlearnable: {sentence}", err=True)


def listing(kind: str) -> Callable[[bool], None]:
    """An option's callback that prints the name of everything of a kind and what it does, and stops."""

    def callback(wanted: bool) -> None:
        if wanted:
            show_all(kind)
            raise typer.Exit

    return callback


def broken(kind: str) -> list[str]:
    """A sentence for each third party's thing of a kind that cannot be used."""
    from unlearnable import registry
    from unlearnable.personalization.presets import presets
    from unlearnable.protection.strengths import protection

    loaders: dict[str, Callable[[str], Any]] = {"method": protection, "attacker": presets}
    load = loaders.get(kind, partial(registry.thing, kind=kind))
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
