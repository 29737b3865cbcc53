"""Flags that several commands share, and those that are made from the fields of a settings dataclass."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import Field, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from unlearnable.inputs import FILES, METHOD, MODEL

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; made if need be.")]
Model = Annotated[str, typer.Option(help="embedded, a diffusers folder or a hub id.", rich_help_panel=MODEL)]
Revision = Annotated[str | None, typer.Option(help="Revision of a hub model.", rich_help_panel=MODEL)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MODEL)]
Dtype = Annotated[str, typer.Option(help="auto, float32 or bfloat16.", rich_help_panel=MODEL)]
Checkpointing = Annotated[bool, typer.Option("--checkpointing", help="Less memory, more time.", rich_help_panel=MODEL)]
Offline = Annotated[bool, typer.Option("--offline", help="Never touch the network.", rich_help_panel=MODEL)]
Seed = Annotated[int, typer.Option(help="Seed of all randomness.", rich_help_panel=METHOD)]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="Look into subfolders.", rich_help_panel=FILES)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Do finished files again.", rich_help_panel=FILES)]
KeepMetadata = Annotated[
    bool, typer.Option("--keep-metadata", help="Keep EXIF (GPS too) and XMP.", rich_help_panel=FILES)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
JsonLines = Annotated[bool, typer.Option("--json", help="One JSON object a picture on stdout.")]

GIVEN = "given"


def with_settings(kind: Callable[[], type]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator for commands: a flag for each `inputs.setting` of a dataclass, which `kind` imports.

    The command is called with `given`, the fields that somebody named and their values.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        settings = kind()
        hints = get_type_hints(settings)
        made = {f.name: flag(f, hints[f.name]) for f in fields(settings) if "help" in f.metadata}
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != GIVEN]

        @wraps(command)
        def call(**values: Any) -> None:
            given = {name: values.pop(name) for name in made}
            command(**values, given={name: value for name, value in given.items() if value is not None})

        found: Any = call
        found.__signature__ = inspect.Signature([*own, *made.values()])
        found.__annotations__ = {p.name: p.annotation for p in (*own, *made.values())}
        return call

    return decorate


def flag(found: Field[Any], hint: Any) -> inspect.Parameter:
    """The flag of a field; it is None where nobody gives it, so that a recipe's value stands."""
    name = f"--{found.name.replace('_', '-')}"
    shown = str(found.default) if found.default not in (None, "", False) else False
    option = typer.Option(
        name, help=found.metadata["help"], rich_help_panel=found.metadata["panel"], show_default=shown
    )
    annotation = Annotated[hint | None, option]
    return inspect.Parameter(found.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
