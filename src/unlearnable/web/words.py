"""What was measured, in words for people who never heard of a decibel.

The steps are rules of thumb, not a law of seeing: 40, 36 and 30 dB are what the strengths subtle, standard and strong
aim at, and `docs/how-to/page.md` says how to look for oneself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

SEEN = (
    (44.0, "No: nobody sees this, even side by side."),
    (39.0, "Hardly: you have to go to and fro between the two to see it."),
    (35.0, "A little: smooth parts (skin, sky) show it when you look for it."),
    (31.0, "Yes, when you look closely: smooth parts show it."),
    (-math.inf, "Yes: the change can be seen at once."),
)  # from so many dB of PSNR on
STAINS = ((2.0, "no stains"), (6.0, "faint stains at most"), (math.inf, "stains that can be seen"))  # up to, in 1/255
STRENGTHS = {
    "subtle": "Subtle: you hardly see it; least protection",
    "standard": "Standard: smooth parts show it when you look for it",
    "strong": "Strong: it can be seen; most protection",
}
FEW = 1.5  # times noise: no more than noise does
ENOUGH = 2.0  # times noise: what `unlearnable encoders check` asks for


def seen(measured: Mapping[str, float]) -> str:
    """Answers "can you see it?" from PSNR and the largest change around one place."""
    psnr, local = measured.get("psnr"), measured.get("local")
    if psnr is None:
        return "Not measured."
    if math.isinf(psnr):
        return "No: nothing was changed."
    answer = next(text for least, text in SEEN if psnr >= least)
    return answer if local is None else f"{answer} Up close: {stains(local)}."


def stains(local: float) -> str:
    return next(text for most, text in STAINS if local <= most)


def figures(measured: Mapping[str, float]) -> str:
    """The same in figures."""
    parts = []
    if (psnr := measured.get("psnr")) is not None:
        parts.append("no change" if math.isinf(psnr) else f"PSNR {psnr:.1f} dB")
    if "linf" in measured:
        parts.append(f"largest change of a pixel {measured['linf']:g} of 255")
    if "local" in measured:
        parts.append(f"largest change around one place {measured['local']:.1f} of 255")
    return ", ".join(parts)


def moved(ratio: float) -> str:
    """What a ratio of `unlearnable encoders check` says."""
    if ratio < FEW:
        return "No more than random noise does: expect no protection."
    if ratio < ENOUGH:
        return "A little more than random noise does: expect little."
    return "Clearly more than random noise does: needed for protection, no proof of it."


def lasts(seconds: float) -> str:
    """A length of time as one would say it."""
    if seconds < 50:
        return f"{max(5, 5 * math.ceil(seconds / 5))} seconds"
    if seconds < 90 * 60:
        minutes = max(1, round(seconds / 60))
        return "1 minute" if minutes == 1 else f"{minutes} minutes"
    return f"{seconds / 3600:.1f} hours"


def count(number: int, thing: str = "picture") -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
