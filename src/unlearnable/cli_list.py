"""The `--list` of commands that offer a choice of things from the registry."""

from __future__ import annotations

from collections.abc import Callable

import typer


def listing(kind: str) -> Callable[[bool], None]:
    """An option's callback that prints the name of everything of a kind and what it does, and stops."""

    def callback(wanted: bool) -> None:
        if wanted:
            from unlearnable import registry

            entries = [registry.entry(name, kind) for name in registry.names(kind)]
            width = max(len(entry.name) for entry in entries)
            for entry in entries:
                title, _, rest = entry.summary.partition(": ")
                named = title.lower().replace(" ", "-") == entry.name
                typer.echo(f"{entry.name:{width}}  {rest if named else entry.summary}")
            raise typer.Exit

    return callback
