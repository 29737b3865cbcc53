"""report.html: one file that needs nothing else, made from the report and its pictures by `page.html.j2`."""

from __future__ import annotations

import base64
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from unlearnable.auditing.facts import Facts
from unlearnable.auditing.material import CONTROL, PROTECTED, Condition
from unlearnable.auditing.pairs import Pair, Subject
from unlearnable.auditing.rates import Estimate, Row
from unlearnable.auditing.settings import NONE
from unlearnable.auditing.verdict import number, percent
from unlearnable.images import files
from unlearnable.images.sheet import levels

if TYPE_CHECKING:
    from unlearnable.auditing.tasks import Run

SIDE = 320  # px a picture is at most shown at
PAIRS = 6  # shown; all are measured
GAIN = 10
INTERVAL = re.compile(r" %(?: \(\S+ to \S+\))?")
LEFT, RIGHT = -0.25, 1.25  # of the scale that rates are drawn on


@dataclass(frozen=True)
class Shot:
    """A picture on the page: its caption, what to read out in its place, and its bytes as a data URI."""

    caption: str
    alt: str
    uri: str


def render(report: dict[str, Any], facts: Facts, run: Run, pictures: Subject) -> str:
    """The whole page as text."""
    loader = FileSystemLoader(Path(__file__).parent)
    env = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    env.filters |= {
        "percent": percent, "number": number, "figure": figure, "spread": spread, "ends": ends, "tidy": tidy
    }  # fmt: skip
    shown = pictures.train[:PAIRS]
    return env.get_template("page.html.j2").render(
        r=report, rows=facts.rows, grave=any(check["grave"] for check in report["checks"]), bar=bar,
        tiles=tiles(facts, report), pairs=[(p.name, shots(p, i, run)) for i, p in enumerate(shown)],
        attacks=[(name, drawn(name, facts, run)) for name in run.settings.attacks], total=len(pictures.train),
        network=run.network.name,
    )  # fmt: skip


def shots(pair: Pair, place: int, run: Run) -> list[Shot]:
    """A picture, its protected twin and their difference at their own size; what else attackers saw at the model's."""
    before, after = files.read(pair.clean).pixels, files.read(pair.protected).pixels
    change = after.astype(np.int16) - before
    amplified = np.clip(128 + GAIN * change, 0, 255).astype(np.uint8)
    m, seed = run.material, run.settings.seeds[0]
    found = [
        Shot("clean", f"{pair.name}, the clean picture", uri(before)),
        Shot("protected", f"{pair.name}, protected", uri(after)),
        Shot(f"difference × {GAIN}", f"{pair.name}, the difference of both, amplified", uri(amplified)),
    ]
    for name in run.chains:
        tensor = run.seen(Condition(PROTECTED, name), seed).images[place]
        found.append(Shot(f"protected, {name}", f"{pair.name}, protected, after {name}", uri(levels(tensor).pixels)))
    noisy = m.controls[seed].images[place]
    return [*found, Shot("random control", f"{pair.name}, the random control", uri(levels(noisy).pixels))]


def drawn(attack: str, facts: Facts, run: Run) -> list[tuple[Row, list[Shot]]]:
    """What one attacker's models draw, row by row, with the first seed."""
    found = []
    for row in (r for r in facts.rows if r.attack == attack):
        wanted = {"attack": attack, "condition": row.condition.kind, "purify": row.condition.purify}
        cells = [cell for cell in run.cells if all(cell[key] == value for key, value in wanted.items())]
        paths = [run.store.folder.parent / path for path in cells[0]["pictures"]] if cells else []
        texts = [f"{attack}, {row.condition}: generated picture {i}" for i, _ in enumerate(paths, 1)]
        found.append((row, [Shot("", text, uri(files.read(path).pixels)) for text, path in zip(texts, paths)]))
    return found


def tiles(facts: Facts, report: dict[str, Any]) -> list[tuple[str, str, Estimate]]:
    """The figures at the top: the worst case, its attacker without a countermeasure, and its control."""
    worst = report["verdict"]["worst"]
    if worst is None:
        return []
    mine = [r for r in facts.rows if r.attack == worst["attack"]]
    found: list[tuple[str, str, Estimate]] = []
    for title, kind, purify in (
        ("worst case", PROTECTED, worst["purify"]),
        ("no countermeasure", PROTECTED, NONE),
        ("random control", CONTROL, NONE),
    ):
        row = next((r for r in mine if (r.condition.kind, r.condition.purify) == (kind, purify)), None)
        if row and row.rate.defined and all(row.rate is not rate for _, _, rate in found):
            what = row.attack if purify == NONE else f"{row.attack}, after {purify}"
            found.append((title, what, row.rate))
    return found


def bar(rate: Estimate) -> dict[str, float]:
    """Where a rate and its interval lie on a scale of 100 units."""

    def place(share: float) -> float:
        return round(100 * (min(max(share, LEFT), RIGHT) - LEFT) / (RIGHT - LEFT), 1)

    low, high = (rate.value if math.isnan(end) else end for end in (rate.low, rate.high))
    return {"value": place(rate.value), "low": place(low), "high": place(high), "none": place(0), "all": place(1)}


def figure(value: float | None) -> str:
    """Three digits, or a dash."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.3g}".replace("-", "−")


def spread(estimate: Estimate) -> str:
    """An interval, three digits each."""
    return "no interval" if math.isnan(estimate.low) else f"{figure(estimate.low)} to {figure(estimate.high)}"


def ends(rate: Estimate) -> str:
    """A rate's interval in per cent."""
    return "no interval" if math.isnan(rate.low) else f"{number(rate.low)} to {number(rate.high)}"


def tidy(text: str) -> str:
    """No line break within a rate and its interval."""
    return INTERVAL.sub(lambda found: found[0].replace(" ", "\u00a0"), text)


def uri(pixels: np.ndarray) -> str:
    """uint8 ``[h w 3]`` as a data URI, lossless: a compression of the page's own would look like a protection."""
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    image.save(data, "WEBP", lossless=True)
    return f"data:image/webp;base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
