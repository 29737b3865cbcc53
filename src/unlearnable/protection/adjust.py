"""Settings by name, wherever in a protection they are: ``steps`` its own, ``law`` its times', ``start`` its pixels'."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from unlearnable.errors import UsageError, suggestion

if TYPE_CHECKING:
    from unlearnable.protection.engine import Protection

PARTS = ("objective", "parameterisation", "estimator", "times", "surrogate", "against", "game")
T = TypeVar("T")


def adjusted(settings: T, **changes: Any) -> T:
    """Settings with some of them changed, each where it is; raises UsageError for a name that none of the parts has."""
    changed = {name: changes.pop(name) for name in list(changes) if name in own(settings)}
    for name, part in parts(settings).items():
        part = changed.get(name, part)
        inside = {key: changes.pop(key) for key in list(changes) if key in names(part)}
        if inside:
            changed[name] = adjusted(part, **inside)
    if changes:
        wrong = next(iter(changes))
        raise UsageError(f"no setting {wrong!r}: {suggestion(wrong, sorted(names(settings)))}")
    # `own` has found its fields, so this is a dataclass; T, which keeps the caller's type, cannot say so
    return replace(settings, **changed)  # type: ignore[type-var]


def values(settings: object) -> dict[str, Any]:
    """Every setting that is a number, a word or a truth value, by name."""
    result: dict[str, Any] = {}
    for part in reversed(parts(settings).values()):
        result |= values(part)
    return result | {k: v for k, v in own(settings).items() if isinstance(v, bool | int | float | str)}


def names(settings: object) -> set[str]:
    """Names that `adjusted` knows."""
    return set(own(settings)).union(*(names(part) for part in parts(settings).values()))


def described(settings: object) -> Any:
    """The settings as plain values that are the same in every process: functions are their names."""
    if is_dataclass(settings):
        return {"type": type(settings).__name__} | {name: described(value) for name, value in own(settings).items()}
    if isinstance(settings, tuple):
        return [described(value) for value in settings]
    return getattr(settings, "__qualname__", settings if isinstance(settings, bool | int | float) else str(settings))


def own(settings: object) -> dict[str, Any]:
    return {f.name: getattr(settings, f.name) for f in fields(settings)} if is_dataclass(settings) else {}


def parts(settings: object) -> dict[str, Any]:
    return {name: value for name, value in own(settings).items() if name in PARTS and is_dataclass(value)}


def for_data_set(settings: Protection) -> Protection:
    """A game's settings for a whole data set: from the budget's boundary, four draws to a step, fewer, longer steps.

    With one draw, the deltas wandered inside the budget and did less than random noise (docs/results/udp.md).
    """
    return adjusted(settings, start="sign", step=0.5, steps=4, eot_samples=4, stratified=True, antithetic=True)
