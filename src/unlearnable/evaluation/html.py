"""Parts of HTML pages: the environment of templates, pictures as data URIs, and filters."""

from __future__ import annotations

import base64
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from unlearnable.evaluation.figures import number, percent
from unlearnable.evaluation.rates import Estimate

MOST, LEAST = 0.75, 0.25


INTERVAL = re.compile(r" %(?: \(\S+ to \S+\))?")
LEFT, RIGHT = -0.25, 1.25  # of the scale that rates are drawn on
SIDE = 320  # px a picture is at most shown at


def environment(*folders: Path) -> Environment:
    """A jinja environment with the templates of some folders, then this folder's style and parts, and the filters."""
    loader = FileSystemLoader([*folders, Path(__file__).parent])
    env = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    env.filters |= {
        "percent": percent, "number": number, "figure": figure, "spread": spread, "ends": ends, "tidy": tidy
    }  # fmt: skip
    env.globals["bar"] = bar
    return env


@dataclass(frozen=True)
class Shot:
    """A picture on the page: its caption, its alternative text, and its bytes as a data URI."""

    caption: str
    alt: str
    uri: str


def uri(pixels: np.ndarray, side: int = SIDE) -> str:
    """uint8 ``[h w 3]`` as a lossless data URI; lossy compression would look like a protection."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    image.save(data, "WEBP", lossless=True)
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"


def bar(rate: Estimate) -> dict[str, float]:
    """The positions of a rate and its interval on a scale of 100 units."""

    def place(share: float) -> float:
        return round(100 * (min(max(share, LEFT), RIGHT) - LEFT) / (RIGHT - LEFT), 1)

    low, high = (rate.value if math.isnan(end) else end for end in (rate.low, rate.high))
    at = {"value": rate.value, "low": low, "high": high, "none": 0, "little": LEAST, "much": MOST, "all": 1}
    return {name: place(share) for name, share in at.items()}


def figure(value: float | None) -> str:
    """A value to three digits, or a dash."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.3g}".replace("-", "−")


def spread(estimate: Estimate) -> str:
    """An interval, to three digits each."""
    return "no interval" if math.isnan(estimate.low) else f"{figure(estimate.low)} to {figure(estimate.high)}"


def ends(rate: Estimate) -> str:
    """A rate's interval in per cent."""
    return "no interval" if math.isnan(rate.low) else f"{number(rate.low)} to {number(rate.high)}"


def tidy(text: str) -> str:
    """The text with non-breaking spaces within each rate and its interval."""
    return INTERVAL.sub(lambda match: match[0].replace(" ", "\u00a0"), text)
