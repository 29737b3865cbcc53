"""Attackers by name and preset, with settings that a user replaces."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, get_type_hints

from unlearnable import registry
from unlearnable.errors import UsageError, suggestion
from unlearnable.inputs import fits, type_name
from unlearnable.models.base import Model
from unlearnable.personalization.base import Personalizer
from unlearnable.registry import PAPER

STRONG = "strong"


def attacker(name: str, model: Model, preset: str = "auto") -> Personalizer:
    """An attacker's settings: `auto` is the strongest preset for large models and ``embedded`` for small ones."""
    available = presets(name)
    chosen = preset
    if preset == "auto":
        chosen = "embedded" if not model.large else STRONG if STRONG in available else PAPER
    if chosen not in available:
        raise UsageError(f"unknown preset {chosen!r} of {name}: {suggestion(chosen, ['auto', *available])}")
    return available[chosen]


def presets(name: str) -> dict[str, Personalizer]:
    """An attacker's settings by the names of its presets."""
    available = registry.part(name, "attacker", "PRESETS", "a dictionary of attackers")
    if isinstance(available, Personalizer):
        return {PAPER: available, "embedded": available}
    if not isinstance(available, dict) or not all(isinstance(each, Personalizer) for each in available.values()):
        raise UsageError(
            f"attacker {name!r} ({registry.address(name, 'attacker')}) should be an attacker, or PRESETS of some"
        )
    return available


def adjusted(attacker: Personalizer, changes: dict[str, Any]) -> Personalizer:
    """Settings with some fields replaced. Raises UsageError for an unknown field or a value of the wrong type."""
    fields, hints = asdict(attacker), get_type_hints(type(attacker))
    for name, value in changes.items():
        if name not in fields:
            raise UsageError(f"{attacker.name} has no setting {name!r}: {suggestion(name, list(fields))}")
        if not fits(value, hints[name]):
            raise UsageError(f"setting {name!r} of {attacker.name} is {value!r}: give {type_name(hints[name])}")
        if name in ("steps", "lr", "batch", "rank") and value <= 0:
            raise UsageError(f"{name} {value:g} is too small: give more than 0")
        if name == "class_pictures" and value < 0:
            raise UsageError(f"{name} {value} is too small: give 0 for none, or how many to draw")
    return replace(attacker, **changes)
