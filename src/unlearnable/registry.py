"""Names to things: protections today; attackers, purifiers and metrics join them. Third parties use entry points."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnable.errors import UsageError

if TYPE_CHECKING:
    from unlearnable.protection.engine import Protection

GROUP = "unlearnable.methods"  # an entry point here names a module with a docstring and a `PAPER`

METHODS = {
    name: f"unlearnable.protection.methods.{name.replace('-', '_')}"
    for name in ("random", "advdm", "photoguard", "mist", "sds", "sds-plus", "ace", "fsmg", "aspl", "udp", "eudp")
}
STRENGTHS = {"subtle": 4.0, "standard": 6.0, "strong": 12.0}  # L-inf budgets in 1/255; 6 is about 36 dB
PAPER = "paper"


@dataclass(frozen=True)
class Entry:
    """A protection's name, the first line of its docstring and the whole of it."""

    name: str
    summary: str
    text: str


def names() -> list[str]:
    """Every protection, third parties' included."""
    return [*METHODS, *sorted(point.name for point in entry_points(group=GROUP) if point.name not in METHODS)]


def module_of(name: str) -> str:
    if name in METHODS:
        return METHODS[name]
    for point in entry_points(group=GROUP):
        if point.name == name:
            return point.value
    raise UsageError(f"unknown method {name!r}: {suggestion(name, names())}")


def suggestion(name: str, known: list[str]) -> str:
    """Did you mean; else the whole list."""
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(known)}"


def entry(name: str) -> Entry:
    """A protection's description, read from its source so that listing needs no torch."""
    module = module_of(name)
    root, _, rest = module.partition(".")
    if root == "unlearnable":
        source = Path(__file__).parent.joinpath(*rest.split(".")).with_suffix(".py")
        text = ast.get_docstring(ast.parse(source.read_text())) or ""
    else:
        text = importlib.import_module(module).__doc__ or ""
    return Entry(name, text.strip().split("\n")[0].rstrip("."), text.strip())


def protection(name: str, strength: str = "standard") -> Protection:
    """A protection's settings at one strength.

    ``paper``: its paper's own budget and no transforms. ``subtle``, ``standard``, ``strong``: 4, 6 or 12 of 255, with
    EOT transforms in the loop so that more of it survives JPEG, blur and resizing.
    """
    settings: Protection = importlib.import_module(module_of(name)).PAPER
    if strength == PAPER:
        return settings
    if strength not in STRENGTHS:
        raise UsageError(f"unknown strength {strength!r}: {suggestion(strength, [*STRENGTHS, PAPER])}")
    from unlearnable.protection.constraints import Linf
    from unlearnable.protection.transforms import EOT

    return replace(settings, constraint=Linf(STRENGTHS[strength]), transforms=EOT)
