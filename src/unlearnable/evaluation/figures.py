"""Rates as text for people."""

from __future__ import annotations

import math

from unlearnable.evaluation.rates import Estimate


def number(share: float) -> str:
    """A share as whole per cent with a true minus sign; a dash where undefined."""
    if math.isnan(share):
        return "–"
    digits = "∞" if math.isinf(share) else str(abs(round(100 * share)))
    return f"−{digits}" if share < 0 and digits != "0" else digits


def percent(rate: Estimate) -> str:
    """A rate for people: ``62 % (41 to 80)``."""
    if not rate.defined:
        return "undefined"
    if math.isnan(rate.low):
        return f"{number(rate.value)} % (no interval)"
    return f"{number(rate.value)} % ({number(rate.low)} to {number(rate.high)})"
