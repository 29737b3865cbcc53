"""Names to things: protections (methods), attackers, purifiers and metrics. Third parties join by entry points."""

from __future__ import annotations

import ast
import difflib
import importlib
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from types import FunctionType, ModuleType
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
PAPER, STRONG = "paper", "strong"
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
    where = place(name, kind)
    module, _, attribute = where.partition(":")
    if _ours(module):
        found: Any = importlib.import_module(module)
        return getattr(found, attribute) if attribute else found
    try:
        found = importlib.import_module(module)
        for part in attribute.split(".") if attribute else ():
            found = getattr(found, part)
    except Exception as error:  # a stranger's code may raise anything while it is imported
        reason = " ".join(str(error).split()) or "no reason given"
        raise UsageError(
            f"{kind} {name!r} ({where}) cannot be loaded ({type(error).__name__}: {reason}): "
            "mend, reinstall or remove the package that brings it"
        ) from error
    return found


def _ours(module: str) -> bool:
    return module.partition(".")[0] == "unlearnable"


def _part(name: str, kind: str, attribute: str, what: str) -> Any:
    """`attribute` of a thing's module, or the thing itself where its entry point names that attribute."""
    found = thing(name, kind)
    found = getattr(found, attribute, found)
    if isinstance(found, ModuleType):
        raise UsageError(f"{kind} {name!r} ({place(name, kind)}) has no {attribute}: it should be {what}")
    return found


def broken(kind: str) -> list[str]:
    """A sentence for each third party's thing of a kind that cannot be used."""
    sentences = [
        f"{kind} {name!r} of {where} is left out: that name is one of ours"
        for name, where in sorted(_third_parties(kind).items())
        if name in KINDS[kind]
    ]
    for name in sorted(set(_third_parties(kind)) - set(KINDS[kind])):
        try:
            protection(name) if kind == "method" else presets(name) if kind == "attacker" else thing(name, kind)
        except UsageError as error:
            sentences.append(str(error))
    return sentences


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
        try:
            text = _description(thing(name, kind), module)
        except UsageError as error:
            text = f"cannot be loaded\n\n{error}"
    return Entry(name, text.strip().split("\n")[0].rstrip("."), text.strip())


def _description(found: Any, module: str) -> str:
    """A third party's docstring: its own where it is a module, class or function, else its module's."""
    own = found.__doc__ if isinstance(found, ModuleType | FunctionType | type) else None
    return own or importlib.import_module(module).__doc__ or ""


def _third_parties(kind: str) -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=f"unlearnable.{kind}s")}


def protection(name: str, strength: str = "standard") -> Protection:
    """A protection's settings at one strength.

    ``paper``: its paper's own budget and no transforms. ``subtle``, ``standard``, ``strong``: 4, 6 or 12 of 255, with
    EOT transforms in the loop so that more of it survives JPEG, blur and resizing; for methods whose budget is a PSNR
    that one as standard, and as much less or more for the others.
    """
    from unlearnable.protection.engine import Protection

    settings: Protection = _part(name, "method", "PAPER", "a Protection")
    if not isinstance(settings, Protection):
        what = type(settings).__name__
        raise UsageError(f"method {name!r} ({place(name)}) is of type {what}: its entry point should name a Protection")
    if strength == PAPER:
        return settings
    if strength not in STRENGTHS:
        raise UsageError(f"unknown strength {strength!r}: {suggestion(strength, [*STRENGTHS, PAPER])}")
    from unlearnable.protection.constraints import L2, Constraint, Linf
    from unlearnable.protection.transforms import EOT

    budget, own = STRENGTHS[strength], settings.constraint
    scaled: Constraint = (
        L2(own.rms * budget / STRENGTHS["standard"], local=True) if isinstance(own, L2) else Linf(budget)
    )
    return replace(settings, constraint=scaled, transforms=EOT)


def attacker(name: str, model: Model, preset: str = "auto") -> Personalizer:
    """An attacker's settings: `auto` is the strongest preset for large models and ``embedded`` for small ones."""
    known = presets(name)
    chosen = preset
    if preset == "auto":
        chosen = "embedded" if not model.large else STRONG if STRONG in known else PAPER
    if chosen not in known:
        raise UsageError(f"unknown preset {chosen!r} of {name}: {suggestion(chosen, ['auto', *known])}")
    return known[chosen]


def presets(name: str) -> dict[str, Personalizer]:
    """An attacker's settings by the names of its presets."""
    from unlearnable.personalization.base import Personalizer

    found = _part(name, "attacker", "PRESETS", "a dictionary of attackers")
    if isinstance(found, Personalizer):
        return {PAPER: found, "embedded": found}
    if not isinstance(found, dict) or not all(isinstance(each, Personalizer) for each in found.values()):
        raise UsageError(f"attacker {name!r} ({place(name, 'attacker')}) should be an attacker, or PRESETS of some")
    return found
