"""Settings of a method beyond its budget and steps, as text: ``k=4, t_start=0.5, surrogate=lora+token``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnable.errors import UsageError, suggestion
from unlearnable.inputs import assignments
from unlearnable.protection.adjust import adjusted, values

if TYPE_CHECKING:
    from unlearnable.protection.engine import Protection

WORDS = {"true": True, "false": False}
AGAINST = "against"  # encoders by their names, as the flag has them
FOLDER = "clean"  # the folder of a surrogate's clean pictures
HIDDEN = ("name", "before", "after", "aside", "scratch", "encoders", "span")  # not a user's to change, or a flag's


def applied(settings: Protection, text: str) -> Protection:
    """The settings with those of the text; raises UsageError for a name or a value that does not fit them."""
    for name, value in assignments([text], "option").items():
        settings = adjusted(settings, **changes(settings, name, value))
    return settings


def changes(settings: Protection, name: str, value: str) -> dict[str, Any]:
    """The fields that one option sets."""
    if name == AGAINST:
        from unlearnable.protection.against import Against

        return {name: replace(settings.against or Against(), encoders=value)}
    named = tables()
    if name in named:
        if name == "surrogate" and value not in named[name]:
            from unlearnable.protection.personalised import parse

            return {name: parse(value)}
        if value not in named[name]:
            raise UsageError(f"unknown {name} {value!r}: {suggestion(value, list(named[name]))}")
        return dict(named[name][value])
    plain = {k: v for k, v in values(settings).items() if k not in HIDDEN}
    if name not in plain:
        names = sorted([AGAINST, *plain, *named])
        raise UsageError(f"{settings.name} has no option {name!r}: {suggestion(name, names)}")
    return {name: fitting(name, value, Path(plain[name]) if name == FOLDER else plain[name])}


def fitting(name: str, value: str, now: Any) -> Any:
    """The value as an object of the present one's type."""
    kind = type(now)
    if isinstance(now, Path):
        from unlearnable.images import files

        if not Path(value).is_dir():
            raise UsageError(f"option {name} is {value!r}: give a folder of pictures")
        files.sources([Path(value)], False)  # says what is wrong with a folder that holds none
        return value
    try:
        return WORDS[value.lower()] if kind is bool else kind(value)
    except (ValueError, KeyError) as error:
        what = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise UsageError(f"option {name} is {value!r}: give {what}") from error


def tables() -> dict[str, dict[str, dict[str, Any]]]:
    """Options whose values are names."""
    from unlearnable.protection.edges import EdgeConstraint
    from unlearnable.protection.objectives import Mist, Objective, denoising
    from unlearnable.protection.surrogates import ALTERNATING, Frozen
    from unlearnable.protection.transforms import EOT

    return {
        "objective": {
            "denoising": {"objective": Objective(denoising)},
            "mist": {"objective": Objective(Mist(), goal="pattern")},
            "mist-grey": {"objective": Objective(Mist(), goal="grey")},
        },
        "edges": {"true": {"constraint": EdgeConstraint(64, 1.3)}},
        "transforms": {"eot": {"transforms": EOT}, "none": {"transforms": ()}},
        "surrogate": {"base": {"surrogate": Frozen()}, "alternating": {"surrogate": ALTERNATING}},
    }
