"""Names to things: protections (methods), attackers, purifiers and metrics. Third parties join by entry points."""

from __future__ import annotations

import ast
import importlib
import re
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from unlearnable.errors import UsageError, suggestion

METHODS = {
    name: f"unlearnable.protection.methods.{name.replace('-', '_')}"
    for name in (
        "random", "desaturate", "encoders", "fastprotect", "advdm", "photoguard", "mist", "pid", "sds", "sds-plus",
        "ace", "fsmg", "aspl", "simac", "hf-adb", "caat", "metacloak", "pap", "disdiff", "anti-diffusion", "styleguard",
        "glaze-like", "nightshade-like", "udp", "eudp", "blurguard", "antipure", "dia", "photoguard-diffusion",
        "diffusionguard",
    )
} | {
    name: f"unlearnable.ldu.methods.{name.replace('-', '_')}" for name in ("ldu", "ldu-fast", "ldu-paper")
}  # fmt: skip
ATTACKERS = {
    name: f"unlearnable.personalization.{name.replace('-', '_')}"
    for name in ("dreambooth", "lora", "textual-inversion", "custom-diffusion", "scratch")
}
PURIFIERS = {
    name: f"unlearnable.purification.{where}"
    for name, where in {
        "jpeg": "simple:Jpeg", "resize": "simple:Resize", "blur": "simple:Blur", "median": "simple:Median",
        "saturate": "simple:Saturate", "noise": "simple:Noise", "bits": "simple:Bits", "tv": "simple:TotalVariation",
        "vae": "vae:RoundTrip", "diffpure": "diffpure:DiffPure", "gridpure": "gridpure:GridPure",
        "impress": "impress:Impress", "upscale": "upscale:Upscale", "crop-resize": "simple:CropResize",
        "adverse-cleaner": "adverse_cleaner:AdverseCleaner", "remover": "remover:Remover",
        "img2img": "redraw:Redraw",
    }.items()
}  # fmt: skip
METRICS = {
    name: f"unlearnable.metrics.{where}:{name.replace('-', '_')}"
    for where, group in {
        "fidelity": ("psnr", "ssim", "ms-ssim", "linf", "ciede2000", "changed", "features-distance", "lpips"),
        "subject": ("held-out-loss", "protection-rate", "similarity"),
        "distribution": ("fid", "kid", "precision", "recall", "density", "coverage"),
        "quality": ("nss-distance",),
        "clip": ("clip-iqa", "clip-t"),
        "brisque": ("brisque",),
        "face": ("fdfr", "ism"),
    }.items()
    for name in group
}

# Kinds of things. An entry point of the group `unlearnable.<kind>s` names a module, or `module:attribute`.
KINDS = {"method": METHODS, "attacker": ATTACKERS, "purifier": PURIFIERS, "metric": METRICS}
PAPER = "paper"  # the strength, or the preset, that is the paper's own
DOCUMENTED = (ast.ClassDef, ast.FunctionDef)


# A method's last paragraph: `Budget: L-inf 8/255. Cost: 100 denoiser passes. For: fine-tuning.`, and before it, where a
# text names papers that are not the method's own, `Paper: none.`
FACTS = re.compile(
    r"(?P<none>Paper: none\. )?Budget: (?P<budget>\S.*?)\. Cost: (?P<passes>[\d,]+) denoiser pass(?:es)?\. "
    r"For: (?P<use>\S.*?)\.$"
)
CITED, YEAR = re.compile(r"arXiv (\d{4}\.\d{4,5})"), re.compile(r"\b((?:19|20)\d\d)\b(?!\.\d)")


@dataclass(frozen=True)
class Facts:
    """What a method's last paragraph and first citation say; empty or None where they say nothing.

    `budget` is its paper's, `passes` how often a denoiser is asked about one picture, `use` what it protects against.
    """

    paper: str = ""
    year: int | None = None
    budget: str = ""
    passes: int | None = None
    use: str = ""


@dataclass(frozen=True)
class Entry:
    """A thing's name, the first line of its docstring and the whole of it."""

    name: str
    summary: str
    text: str

    @property
    def facts(self) -> Facts:
        words = " ".join(self.text.split())
        stated, cited = FACTS.match(" ".join(self.text.split("\n\n")[-1].split())), CITED.search(words)
        if stated is None:
            return Facts()
        passes = int(stated["passes"].replace(",", ""))
        if cited is None or stated["none"]:
            return Facts(budget=stated["budget"], passes=passes, use=stated["use"])
        year = YEAR.search(words)
        when = int(year[1]) if year else 2000 + int(cited[1][:2])
        return Facts(f"arXiv {cited[1]}", when, stated["budget"], passes, stated["use"])


def names(kind: str = "method") -> list[str]:
    """Everything of a kind, third parties' included."""
    return [*KINDS[kind], *sorted(set(third_parties(kind)) - set(KINDS[kind]))]


def address(name: str, kind: str = "method") -> str:
    """Where a thing lives: ``module`` or ``module:attribute``."""
    addresses = third_parties(kind) | KINDS[kind]
    if name not in addresses:
        raise UsageError(f"unknown {kind} {name!r}: {suggestion(name, names(kind))}")
    return addresses[name]


def load(name: str, kind: str) -> Any:
    """The module or attribute itself, imported."""
    where = address(name, kind)
    module, _, attribute = where.partition(":")
    if module.startswith("unlearnable."):
        loaded: Any = importlib.import_module(module)
        return getattr(loaded, attribute) if attribute else loaded
    try:
        loaded = importlib.import_module(module)
        for part in attribute.split(".") if attribute else ():
            loaded = getattr(loaded, part)
    except Exception as error:  # a stranger's code may raise anything while it is imported
        reason = " ".join(str(error).split()) or "no reason given"
        raise UsageError(
            f"{kind} {name!r} ({where}) cannot be loaded ({type(error).__name__}: {reason}): "
            "mend, reinstall or remove the package that brings it"
        ) from error
    return loaded


def part(name: str, kind: str, attribute: str, what: str) -> Any:
    """`attribute` of a thing's module, or the thing itself where its entry point names that attribute."""
    loaded = load(name, kind)
    loaded = getattr(loaded, attribute, loaded)
    if isinstance(loaded, ModuleType):
        raise UsageError(f"{kind} {name!r} ({address(name, kind)}) has no {attribute}: it should be {what}")
    return loaded


def entry(name: str, kind: str = "method") -> Entry:
    """A thing's description, read from its source so that listing needs no torch."""
    module, _, attribute = address(name, kind).partition(":")
    if module.startswith("unlearnable."):
        tree = ast.parse(Path(__file__).parent.joinpath(*module.split(".")[1:]).with_suffix(".py").read_text())
        named = (node for node in tree.body if isinstance(node, DOCUMENTED) and node.name == attribute)
        text = ast.get_docstring(next(named) if attribute else tree) or ""
    else:
        try:
            text = _description(load(name, kind), module)
        except UsageError as error:
            text = f"cannot be loaded\n\n{error}"
    return Entry(name, text.strip().split("\n")[0].rstrip("."), text.strip())


def _description(loaded: Any, module: str) -> str:
    """A third party's docstring: its own where it is a module, class or function, else its module's."""
    own = loaded.__doc__ if isinstance(loaded, ModuleType | FunctionType | type) else None
    return own or importlib.import_module(module).__doc__ or ""


def third_parties(kind: str) -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=f"unlearnable.{kind}s")}
