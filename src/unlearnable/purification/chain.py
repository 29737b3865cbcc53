"""Countermeasures by name, one after the other: "jpeg:75+resize:0.5".

A link is ``name``, ``name:value`` or ``name:value:field=value``: its class's fields in their order, or by name.

Samples are rounded here alone: after every link the pictures are clamped and put on the 8-bit grid, because an
attacker's tools hand each other 8-bit files. A purifier called by itself returns real numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unlearnable import registry
from unlearnable.errors import UnlearnableError, UsageError, suggestion
from unlearnable.purification.base import Purifier

if TYPE_CHECKING:
    from unlearnable.models.base import Model

NONE = "none"
LONGEST = 300  # characters; no honest chain is longer
WORDS = {int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Chain:
    """Named purifiers, first to last; without any it is the identity and returns the pictures untouched."""

    links: tuple[tuple[str, Any], ...] = ()  # name and `Purifier`

    @property
    def name(self) -> str:
        """Canonical text, from which `parse` makes an equal chain: strengths always, other settings if not default."""
        return "+".join(described(name, purifier) for name, purifier in self.links) or NONE

    @property
    def needs_model(self) -> bool:
        """Whether some link needs a diffusion model, be it there already or not."""
        return any(needs_model(purifier) for _, purifier in self.links)

    def with_model(self, model: Model) -> Chain:
        """The same chain; the links that need a diffusion model carry this one."""
        return Chain(tuple((n, replace(p, model=model) if needs_model(p) else p) for n, p in self.links))

    def __call__(self, images: Tensor, seed: int = 0) -> Tensor:
        """Purified pictures ``[b 3 h w]``, of the shape of `images` and on the 8-bit grid.

        Raises UsageError where a model is missing, UnlearnableError where a link's numbers are not finite.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise UsageError(f"pictures of shape {tuple(images.shape)}: give [batch, 3, height, width] in [0, 1]")
        for name, purifier in self.links:
            if needs_model(purifier) and purifier.model is None:
                raise UsageError(f"{name!r} needs a diffusion model: pass model=, or --model on the command line")
        x = images
        for name, purifier in self.links:
            y = purifier(x, seed=seed)
            if y.shape != images.shape or not torch.isfinite(y).all():
                raise UnlearnableError(
                    f"{name!r} gave pictures that are not finite or not of the shape {tuple(images.shape)}: "
                    "use --dtype float32, or leave it out"
                )
            x = (y.clamp(0, 1) * 255).round() / 255
        return x


def parse(text: str, model: Model | None = None) -> Chain:
    """The chain that a text names; "none" is the identity.

    The text is checked whole before any model is loaded: without `model` the chain can say `needs_model`, and
    `with_model` gives it one. Raises UsageError: one sentence with the part that is wrong and what it could be.
    """
    if len(text) > LONGEST:
        raise UsageError(f"a chain of {len(text)} characters ({text[:40]!r}...) is too long: give at most {LONGEST}")
    parts = [part.strip() for part in text.split("+")]
    if "" in parts:
        raise UsageError(f"{text!r} leaves a purifier out: write e.g. 'jpeg:75+resize:0.5', or '{NONE}'")
    chain = Chain(tuple(link(part) for part in parts if part != NONE))
    return chain.with_model(model) if model is not None else chain


def link(text: str) -> tuple[str, Purifier]:
    """One purifier by its text, e.g. "tv:0.1:steps=50"."""
    name, *arguments = text.split(":")
    build = registry.load(name, "purifier")
    defaults = {f.name: f.default for f in fields(build) if not f.kw_only}
    if len(arguments) > len(defaults):
        accepted = f"it has {len(defaults)} ({', '.join(defaults)})" if defaults else "it has none"
        raise UsageError(f"{text!r} gives {name} {len(arguments)} settings: {accepted}")
    settings: dict[str, Any] = {}
    for position, argument in enumerate(arguments):
        key, equals, value = argument.partition("=")
        key, value = (key, value) if equals else ([*defaults][position], argument)
        if key not in defaults:
            raise UsageError(f"unknown setting {key!r} in {text!r}: {suggestion(key, [*defaults])}")
        if key in settings:
            raise UsageError(f"{text!r} gives {key} twice: give it once")
        settings[key] = number(value, type(defaults[key]), key, text)
    return name, build(**settings)


def number(value: str, kind: type, key: str, text: str) -> Any:
    """A setting's value as the type of its default."""
    try:
        return kind(value)
    except ValueError as error:
        raise UsageError(f"{key} {value!r} in {text!r} is not {WORDS.get(kind, kind.__name__)}: give one") from error


def described(name: str, purifier: Any) -> str:
    """A link's canonical text."""
    settings = [f for f in fields(purifier) if not f.kw_only]
    parts = [name]
    for position, f in enumerate(settings):
        value = getattr(purifier, f.name)
        if position == 0:
            parts.append(plain(value))
        elif value != f.default:
            parts.append(f"{f.name}={plain(value)}")
    return ":".join(parts)


def plain(value: Any) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def needs_model(purifier: Purifier) -> bool:
    return bool(getattr(purifier, "needs_model", False))
