"""Names to things: protections (methods), attackers, purifiers and metrics. Third parties join by entry points."""

from __future__ import annotations

import ast
import difflib
import importlib
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnable.errors import UsageError

if TYPE_CHECKING:
    from unlearnable.models.base import Model
    from unlearnable.personalization.base import Personalizer
    from unlearnable.protection.engine import Protection

METHODS = {
    name: f"unlearnable.protection.methods.{name.replace('-', '_')}"
    for name in (
        "random", "desaturate", "advdm", "photoguard", "mist", "sds", "sds-plus", "ace", "fsmg", "aspl", "udp", "eudp",
    )
} | {
    name: f"unlearnable.ldu.methods.{name.replace('-', '_')}" for name in ("ldu", "ldu-fast", "ldu-paper")
}  # fmt: skip
ATTACKERS = {
    name: f"unlearnable.personalization.{name.replace('-', '_')}"
    for name in ("dreambooth", "lora", "textual-inversion", "scratch")
}
PURIFIERS = {
    name: f"unlearnable.purification.{where}"
    for name, where in {
        "jpeg": "simple:Jpeg", "resize": "simple:Resize", "blur": "simple:Blur", "median": "simple:Median",
        "saturate": "simple:Saturate", "noise": "simple:Noise", "bits": "simple:Bits", "tv": "simple:TotalVariation",
        "vae": "vae:RoundTrip", "diffpure": "diffpure:DiffPure", "gridpure": "gridpure:GridPure",
        "impress": "impress:Impress", "upscale": "upscale:Upscale",
    }.items()
}  # fmt: skip
METRICS = {
    name: f"unlearnable.metrics.{where}:{name.replace('-', '_')}"
    for where, group in {
        "fidelity": ("psnr", "ssim", "ms-ssim", "linf", "ciede2000", "changed", "features-distance", "lpips"),
        "subject": ("held-out-loss", "protection-rate", "similarity"),
        "distribution": ("fid", "kid", "precision", "recall", "density", "coverage"),
        "quality": ("nss-distance", "clip-iqa"),
        "face": ("fdfr", "ism"),
    }.items()
    for name in group
}

# Kinds of things. An entry point of the group `unlearnable.<kind>s` names a module, or `module:attribute`.
KINDS = {"method": METHODS, "attacker": ATTACKERS, "purifier": PURIFIERS, "metric": METRICS}
STRENGTHS = {"subtle": 4.0, "standard": 6.0, "strong": 12.0}  # L-inf budgets in 1/255; 6 is about 36 dB
PAPER = "paper"
DOCUMENTED = (ast.ClassDef, ast.FunctionDef)


@dataclass(frozen=True)
class Entry:
    """A thing's name, the first line of its docstring and the whole of it."""

    name: str
    summary: str
    text: str


def names(kind: str = "method") -> list[str]:
    """Everything of a kind, third parties' included."""
    return [*KINDS[kind], *sorted(set(_third_parties(kind)) - set(KINDS[kind]))]


def place(name: str, kind: str = "method") -> str:
    """Where a thing lives: ``module`` or ``module:attribute``."""
    known = _third_parties(kind) | KINDS[kind]
    if name not in known:
        raise UsageError(f"unknown {kind} {name!r}: {suggestion(name, names(kind))}")
    return known[name]


def thing(name: str, kind: str) -> Any:
    """The module or attribute itself, imported."""
    module, _, attribute = place(name, kind).partition(":")
    found = importlib.import_module(module)
    return getattr(found, attribute) if attribute else found


def suggestion(name: str, known: list[str]) -> str:
    """Did you mean; else the whole list."""
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(known)}"


def entry(name: str, kind: str = "method") -> Entry:
    """A thing's description, read from its source so that listing needs no torch."""
    module, _, attribute = place(name, kind).partition(":")
    root, _, rest = module.partition(".")
    if root == "unlearnable":
        tree = ast.parse(Path(__file__).parent.joinpath(*rest.split(".")).with_suffix(".py").read_text())
        named = (node for node in tree.body if isinstance(node, DOCUMENTED) and node.name == attribute)
        text = ast.get_docstring(next(named) if attribute else tree) or ""
    else:
        text = thing(name, kind).__doc__ or ""
    return Entry(name, text.strip().split("\n")[0].rstrip("."), text.strip())


def _third_parties(kind: str) -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=f"unlearnable.{kind}s")}


def protection(name: str, strength: str = "standard") -> Protection:
    """A protection's settings at one strength.

    ``paper``: its paper's own budget and no transforms. ``subtle``, ``standard``, ``strong``: 4, 6 or 12 of 255, with
    EOT transforms in the loop so that more of it survives JPEG, blur and resizing; for methods whose budget is a PSNR
    that one as standard, and as much less or more for the others.
    """
    settings: Protection = thing(name, "method").PAPER
    if strength == PAPER:
        return settings
    if strength not in STRENGTHS:
        raise UsageError(f"unknown strength {strength!r}: {suggestion(strength, [*STRENGTHS, PAPER])}")
    from unlearnable.protection.constraints import L2, Constraint, Linf
    from unlearnable.protection.transforms import EOT

    budget, own = STRENGTHS[strength], settings.constraint
    scaled: Constraint = L2(own.rms * budget / STRENGTHS["standard"]) if isinstance(own, L2) else Linf(budget)
    return replace(settings, constraint=scaled, transforms=EOT)


def attacker(name: str, model: Model, preset: str = "auto") -> Personalizer:
    """An attacker's settings: `auto` is ``paper`` for large models and ``embedded`` for small ones."""
    presets: dict[str, Personalizer] = thing(name, "attacker").PRESETS
    chosen = (PAPER if model.large else "embedded") if preset == "auto" else preset
    if chosen not in presets:
        raise UsageError(f"unknown preset {chosen!r} of {name}: {suggestion(chosen, ['auto', *presets])}")
    return presets[chosen]
