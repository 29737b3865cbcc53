"""What a caller may give where pictures are asked for: a path as text or `Path`, or a sequence of them."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable
from dataclasses import Field, field
from pathlib import Path
from typing import Any, get_args, get_origin

from unlearnable.errors import UsageError

Inputs = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def names(inputs: Inputs, what: str = "input") -> list[str]:
    """The paths (or URLs) as texts. Raises UsageError for none, for an empty one, and for anything else."""
    items: list[object]
    if isinstance(inputs, (str, os.PathLike)):
        items = [inputs]
    elif isinstance(inputs, Iterable) and not isinstance(inputs, (bytes, bytearray)):
        items = list(inputs)
    else:
        items = [inputs]
    if not items:
        raise UsageError(f"no {what} was given: name pictures or folders")
    return [name(one, what) for one in items]


def name(value: object, what: str = "input") -> str:
    """One path as text."""
    if not isinstance(value, (str, os.PathLike)):
        raise UsageError(f"the {what} {value!r} is no path: give a text, a Path, or a list of them")
    text = os.fspath(value)
    if not isinstance(text, str):
        raise UsageError(f"the {what} {value!r} is a path of bytes: give a text or a Path")
    if not text.strip():
        raise UsageError(f"the {what} is an empty text: name it (. is this folder)")
    return text


def paths(inputs: Inputs, what: str = "input") -> list[Path]:
    """`names` as paths."""
    return [Path(one) for one in names(inputs, what)]


def path(value: object, what: str = "input") -> Path:
    """One path; a sequence is refused."""
    return Path(name(value, what))


def fits(value: Any, hint: Any) -> bool:
    """Whether a TOML or JSON value is of a field's type: a whole number is a number, true and false are neither."""
    if get_origin(hint) is tuple:
        return isinstance(value, (list, tuple)) and all(fits(part, get_args(hint)[0]) for part in value)
    if isinstance(value, bool) or hint is bool:
        return isinstance(value, bool) and hint is bool
    return isinstance(value, hint) or (isinstance(value, int) and isinstance(0.5, hint))


def type_name(hint: Any) -> str:
    if get_origin(hint) is tuple:
        parts = {"int": "whole numbers", "float": "numbers", "str": "texts"}
        part = get_args(hint)[0]
        return f"a list of {parts.get(str(getattr(part, '__name__', part)), 'names or tables')}"
    words = {"str": "a text", "int": "a whole number", "float": "a number", "bool": "true or false"}
    words |= {"Attack": "a name or a table", "Prompt": "a table"}
    return words[str(getattr(hint, "__name__", hint)).split(" ")[0]] if hint else ""


# panels of the command line's help
STRENGTH, METHOD, MODEL, FILES, TRAINING = "Strength", "Method", "Model", "Files", "Training"


def setting(default: Any, text: str, panel: str = METHOD, flag: str = "") -> Any:
    """A dataclass's field that is also a flag (of its own name, or `flag`): its default and its help in one place."""
    return field(default=default, metadata={"help": text, "panel": panel, "flag": flag})


def flag_of(setting: Field[Any]) -> str:
    """The flag of a field that `setting` made."""
    return f"--{(setting.metadata['flag'] or setting.name).replace('_', '-')}"


def joined(value: Any) -> str:
    """A setting's value as a flag takes it: the parts of a tuple, joined by commas."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def split(text: str, hint: Any, flag: str) -> tuple[Any, ...]:
    """The parts of a text that `joined` made, of the type of a tuple's parts; raises UsageError for another's."""
    kind, parts = get_args(hint)[0], [part.strip() for part in text.split(",") if part.strip()]
    try:
        return tuple(map(kind, parts))
    except ValueError as error:
        raise UsageError(f"{flag} {text!r} is not {type_name(hint)}: join some with commas") from error


def assignments(texts: Iterable[str], flag: str) -> dict[str, str]:
    """``["k=4, t_start=0.5", "rank=16"]`` as names and values; the one grammar of settings that are written as text.

    Commas separate; a part that holds one is quoted as a whole, as in ``'against=flux2,sd1', steps=9``. Raises
    UsageError for a part without a value.
    """
    settings: dict[str, str] = {}
    for text in texts:
        for row in csv.reader([text], skipinitialspace=True, quotechar="'"):
            for part in filter(None, map(str.strip, row)):
                name, equals, value = (piece.strip() for piece in part.partition("="))
                if not equals or not name:
                    raise UsageError(f"{flag} {part!r} has no value: write name=value, with commas between settings")
                settings[name] = value
    return settings
