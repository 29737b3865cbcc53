"""The study that a benchmark runs: a frozen dataclass that is read from TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from unlearnable import registry
from unlearnable.errors import UsageError
from unlearnable.recipe import Recipe, check, parsed

SAME = "same"
RANDOM, CLEAN, UNTOUCHED = "random", "clean", "untouched"
CONTROLS = (RANDOM, "desaturate")  # methods that use no model; a protection must beat them
BUDGETS = {"linf": "eps", "psnr": "psnr", "perceptual": "perceptual"}  # by the names that `protect` knows them by


@dataclass(frozen=True)
class Attack:
    """An attacker: `name` and `preset` as `personalize` knows them, `settings` that replace the preset's."""

    label: str
    name: str
    preset: str = "auto"
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Prompt:
    """The attacker's words, where they differ from the defender's.

    `prompt` may hold ``{token}`` and ``{thing}``; if it is empty, the subject's own prompt is used with `token`.
    """

    label: str = SAME
    prompt: str = ""
    token: str = "sks"


@dataclass(frozen=True)
class Study:
    """Every list is an axis of the grid; untouched model, clean pictures and random noise are always in it.

    `subjects` are names of `data` (a folder in one of the `subjects.LAYOUTS`), patterns such as ``objects/*`` too.
    `photos` of each are protected and learned, as many others held out. `methods` are names of the registry with
    options, ``ldu:k=4,t_start=0.5``; `budgets` are ``linf:8`` (levels of 255), ``psnr:36.1`` (dB), ``perceptual:0.2``;
    `steps` those of the ascent. `defenders` are the models that protections are computed against, ``same`` being the
    attacked one. `shares` say how much of what attackers train on is protected, the rest being clean. What departs from
    the first prompt, defender and share is tried one by one and behind the first countermeasure only, unless `cross`.
    Losses are means over `draws`; `generated` pictures are drawn in `sampling` steps, and judged by `features`.
    `timeout` in seconds stops a cell (0: never).
    """

    subjects: tuple[str, ...]
    methods: tuple[str, ...] = ("advdm",)
    attackers: tuple[Attack, ...] = (Attack("dreambooth", "dreambooth"),)
    budgets: tuple[str, ...] = ("psnr:36.1",)
    purify: tuple[str, ...] = ("none",)
    data: str = "."
    layout: str = "folders"
    photos: int = 4
    models: tuple[str, ...] = ("embedded",)
    defenders: tuple[str, ...] = (SAME,)
    prompts: tuple[Prompt, ...] = (Prompt(),)
    shares: tuple[float, ...] = (1.0,)
    cross: bool = False
    strength: str = "standard"
    steps: int | None = None
    seeds: tuple[int, ...] = (0,)
    draws: int = 16
    generated: int = 4
    sampling: int = 20
    features: str = "embedded-features"
    timeout: float = 0
    device: str = "auto"
    dtype: str = "auto"
    offline: bool = False

    def __post_init__(self) -> None:
        from unlearnable.purification.chain import parse

        object.__setattr__(self, "purify", tuple(parse(chain).name for chain in self.purify))
        if RANDOM not in self.methods:
            object.__setattr__(self, "methods", (RANDOM, *self.methods))
        axes = ("subjects", "methods", "budgets", "purify", "models", "defenders", "shares", "seeds")
        named = {name: list(getattr(self, name)) for name in axes}
        named |= {name: [part.label for part in getattr(self, name)] for name in ("attackers", "prompts")}
        for name, values in named.items():
            if not values or len(set(values)) < len(values):
                raise UsageError(f"{name} {', '.join(map(str, values)) or 'is empty'}: give one or more, each once")
        for name, least in (("photos", 1), ("draws", 1), ("generated", 1), ("sampling", 1), ("timeout", 0)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} {getattr(self, name)} is too small: give {least} or more")
        for share in self.shares:
            if not 0 < share <= 1:
                raise UsageError(f"share {share:g} is out of range: give more than 0, up to 1")
        for control in {CLEAN, UNTOUCHED} & set(self.methods):
            raise UsageError(f"{control!r} is no method: it is in every benchmark, leave it out")
        for attack in self.attackers:
            registry.address(attack.name, "attacker")
        for method in self.methods:
            for budget in self.budgets:
                self.recipe(method, budget, SAME, "").protection()  # raises UsageError for what does not fit

    def recipe(self, method: str, budget: str, model: str, prompt: str) -> Recipe:
        """A method at a budget, as `protect` would be asked for it."""
        name, _, options = method.partition(":")
        kind, colon, size = budget.partition(":")
        if kind not in BUDGETS or not colon:
            raise UsageError(f"unknown budget {budget!r}: write linf:8, psnr:36.1 or perceptual:0.2")
        try:
            limit: dict[str, Any] = {BUDGETS[kind]: float(size)}
        except ValueError as error:
            raise UsageError(f"the budget {budget!r} holds no number: write linf:8, psnr:36.1 or so") from error
        limit |= {"steps": self.steps, "options": options, "model": model, "prompt": prompt}
        return Recipe(method=name, strength=self.strength, **limit)

    def facts(self) -> dict[str, Any]:
        """The settings as JSON values."""
        return asdict(self)


def load(path: Path) -> Study:
    """Read a study from a TOML file. Raises UsageError that names the wrong key and suggests the right one."""
    content = parsed(path)
    readers = {"attackers": lambda part: attack(part, path), "prompts": lambda part: prompt(part, path)}
    for name, make in readers.items():
        if isinstance(content.get(name), list):
            content[name] = [make(part) for part in content[name]]
    check(content, Study, path)
    if "subjects" not in content:
        raise UsageError(f"{path} names no subjects: write subjects = ['objects/*'], or some names")
    settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
    return Study(**settings)


def attack(part: Any, path: Path) -> Any:
    """An Attack from ``"lora"``, or from a table of name, label, preset and that attacker's settings, such as steps."""
    if isinstance(part, str):
        return Attack(part, part)
    if not isinstance(part, dict) or "name" not in part:
        return part
    own = {k: v for k, v in part.items() if k in ("label", "name", "preset")}
    check(own, Attack, path)
    settings = {k: v for k, v in part.items() if k not in own}
    return Attack(**({"label": own["name"]} | own), settings=settings)


def prompt(part: Any, path: Path) -> Any:
    if not isinstance(part, dict):
        return part
    check(part, Prompt, path)
    if "label" not in part and len(part):
        raise UsageError(f"the prompt {part!r} has no label: give it one, for the table")
    return Prompt(**part)
