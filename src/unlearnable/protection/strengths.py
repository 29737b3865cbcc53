"""A protection by its name, at one of the strengths that people choose from."""

from __future__ import annotations

from unlearnable import registry
from unlearnable.errors import UsageError, suggestion
from unlearnable.protection.adjust import adjusted
from unlearnable.protection.constraints import Constraint, L2Constraint, LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.transforms import EOT
from unlearnable.registry import PAPER

STRENGTHS = {"subtle": 4.0, "standard": 6.0, "strong": 12.0}  # L-inf budgets in 1/255; 6 is about 36 dB


def protection(name: str, strength: str = "standard") -> Protection:
    """A protection's settings at one strength.

    ``paper``: its paper's own budget and no transforms. ``subtle``, ``standard``, ``strong``: 4, 6 or 12 of 255, with
    EOT transforms in the loop so that more of it survives JPEG, blur and resizing; for methods whose budget is a PSNR
    that one as standard, and as much less or more for the others.
    """
    settings: Protection = registry.part(name, "method", "PAPER", "a Protection")
    if not isinstance(settings, Protection):
        kind = type(settings).__name__
        raise UsageError(
            f"method {name!r} ({registry.address(name)}) is of type {kind}: its entry point should name a Protection"
        )
    if strength == PAPER:
        return settings
    if strength not in STRENGTHS:
        raise UsageError(f"unknown strength {strength!r}: {suggestion(strength, [*STRENGTHS, PAPER])}")
    budget, own = STRENGTHS[strength], settings.constraint
    scaled: Constraint = (
        L2Constraint(own.rms * budget / STRENGTHS["standard"], local=True)
        if isinstance(own, L2Constraint)
        else LinfConstraint(budget, local=True)
    )
    return adjusted(settings, constraint=scaled, transforms=settings.estimator.transforms or EOT)
