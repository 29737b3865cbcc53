"""Flags that several commands share, and those that are made from the fields of a settings dataclass."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import Field, dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_origin, get_type_hints

import typer

from unlearnable.inputs import FILES, METHOD, MODEL, flag_of, joined, setting, split

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; made if need be.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MODEL)]
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


@dataclass(frozen=True)
class Loading:
    """The model and the options of `models.load.load_model`."""

    model: str = setting("embedded", "embedded, a diffusers folder or a hub id.", MODEL)
    revision: str | None = setting(None, "Revision of a hub model.", MODEL)
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps.", MODEL)
    dtype: str = setting("auto", "auto, float32 or bfloat16.", MODEL)
    offline: bool = setting(False, "Never touch the network.", MODEL)
    checkpointing: bool = setting(False, "Less memory, more time.", MODEL)


def with_settings(**kinds: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator for commands: a flag for each `inputs.setting` of dataclasses.

    ``with_settings(changes=Recipe)`` calls the command with `changes`, the fields that somebody named and their values.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name not in kinds]
        groups = {name: flags_of(kind) for name, kind in kinds.items()}
        flags = [flag for group in groups.values() for flag in group.values()]

        @wraps(command)
        def call(**values: Any) -> None:
            grouped = {name: {flag: values.pop(flag) for flag in group} for name, group in groups.items()}
            named = {name: {k: v for k, v in group.items() if v is not None} for name, group in grouped.items()}
            command(**values, **{name: typed(kinds[name], group) for name, group in named.items()})

        decorated: Any = call
        decorated.__signature__ = inspect.Signature([*own, *flags])
        decorated.__annotations__ = {p.name: p.annotation for p in (*own, *flags)}
        return call

    return decorate


def flags_of(kind: type) -> dict[str, inspect.Parameter]:
    hints = get_type_hints(kind)
    return {f.name: flag(f, hints[f.name]) for f in fields(kind) if "help" in f.metadata}


def typed(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """The values of flags as the fields have them: texts with commas become tuples."""
    hints = get_type_hints(kind)
    named = {f.name: flag_of(f) for f in fields(kind) if f.name in values}
    tuples = {name for name in values if get_origin(hints[name]) is tuple}
    return {k: split(v, hints[k], named[k]) if k in tuples else v for k, v in values.items()}


def flag(field: Field[Any], hint: Any) -> inspect.Parameter:
    """The flag of a field; it is None where nobody gives it, so that a recipe's value stands."""
    shown = joined(field.default) if field.default not in (None, "", False) else False
    option = typer.Option(
        flag_of(field), help=field.metadata["help"], rich_help_panel=field.metadata["panel"], show_default=shown
    )
    kind: Any = str if get_origin(hint) is tuple else hint
    annotation = Annotated[kind | None, option]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
