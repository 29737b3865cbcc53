"""Plots of protection rates: against the budget, which is how far files may differ, and behind each countermeasure."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

from unlearnable.bench.study import CONTROLS, RANDOM
from unlearnable.bench.tables import KINDS, Table, kind, level

AXES = {"psnr": "least PSNR, dB", "perceptual": "largest perceptual distance", "linf": "largest change, 1/255"}
PANELS = (("none", "as they are"), ("worst", "worst case over countermeasures"))
WIDTH, HEIGHT = 9.6, 3.9  # inches
INK, SOFT, BLUE = "#1c1e21", "#8b9198", "#1f5f8b"
WORST, COLUMNS = "worst case", 4  # of the panels of countermeasures


def curves(tables: Sequence[Table]) -> list[tuple[str, str]]:
    """A title and an SVG for each kind of budget with several levels, from tables over all attackers."""
    plots = []
    for name in dict.fromkeys(kind(t.budget) for t in tables):
        group = sorted((t for t in tables if kind(t.budget) == name and t.best), key=lambda t: level(t.budget))
        if len(group) > 1:
            title = KINDS.get(name, name)
            plots.append((f"{title[:1].upper()}{title[1:]}", draw(group, AXES.get(name, name), falling=name == "psnr")))
    return plots


SETTINGS: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "unlearnable", "font.family": "sans-serif", "font.size": 9
}  # fmt: skip


def draw(group: Sequence[Table], axis: str, falling: bool) -> str:
    """One SVG with two panels. `falling` axes run from high to low, so that larger budgets are always on the right."""
    plt = pyplot()
    ranked = [line.method for line in group[0 if falling else -1].ranked if line.method != RANDOM]
    ranked += [n for n in dict.fromkeys(x.method for t in group for x in t.ranked) if n not in (*ranked, RANDOM)]
    colours = {name: plt.get_cmap("turbo")(0.05 + 0.9 * i / max(1, len(ranked) - 1)) for i, name in enumerate(ranked)}
    with plt.rc_context(SETTINGS):
        figure, panels = plt.subplots(1, 2, figsize=(WIDTH, HEIGHT), sharey=True, layout="constrained")
        for panel, (which, title) in zip(panels, PANELS):
            for i, name in enumerate([*ranked, RANDOM]):
                points = []
                for t in group:
                    entry = t.line(name)
                    estimate = entry and (entry.worst if which == "worst" else entry.cells.get(which))
                    if estimate and estimate.defined:
                        points.append((level(t.budget), estimate))
                if not points:
                    continue
                spread = (group[-1].budget, group[0].budget)
                reach = abs(level(spread[0]) - level(spread[1]))
                shift = (i - len(ranked) / 2) * reach * 0.006  # intervals side by side
                x, y = [at + shift for at, _ in points], [100 * e.value for _, e in points]
                ends = [
                    [100 * max(0.0, e.value - e.low) for _, e in points],
                    [100 * max(0.0, e.high - e.value) for _, e in points],
                ]
                style = {"color": INK, "linestyle": "--"} if name == RANDOM else {"color": colours[name]}
                panel.errorbar(
                    x, y, ends, label=name, marker="o", markersize=3.5, linewidth=1.4, elinewidth=0.8, **style
                )
            panel.axhline(0, color=SOFT, linewidth=0.8)
            panel.set_title(title, loc="left", fontsize=9)
            panel.set_xlabel(axis)
            panel.set_xticks([level(t.budget) for t in group], [f"{level(t.budget):g}" for t in group])
            panel.spines[["top", "right"]].set_visible(False)
            if falling:
                panel.invert_xaxis()
        panels[0].set_ylabel("protection rate, %")
        figure.legend(*panels[1].get_legend_handles_labels(), loc="outside right upper", frameon=False)
        return saved(figure)


def multiples(t: Table) -> str:
    """One SVG with a panel for each countermeasure and one for the worst case: every method's rate and interval."""
    plt = pyplot()
    lines = [line for line in reversed(t.ranked) if line.method != RANDOM]
    lines = [*(line for line in t.lines if line.method == RANDOM), *lines]  # the control at the bottom
    parts = [*t.baseline.purifies, WORST]
    rows = -(-len(parts) // COLUMNS)
    size = (WIDTH, rows * (0.7 + 0.17 * len(lines)))
    with plt.rc_context(SETTINGS):
        figure, grid = plt.subplots(
            rows, COLUMNS, figsize=size, sharex=True, sharey=True, layout="constrained", squeeze=False
        )
        for panel, part in zip(grid.flat, parts):
            for at, line in enumerate(lines):
                estimate = line.worst if part == WORST else line.cells.get(part)
                if estimate and estimate.defined:
                    colour = SOFT if line.method in CONTROLS else BLUE
                    ends = [[100 * abs(estimate.value - end)] for end in (estimate.low, estimate.high)]
                    panel.errorbar(
                        [100 * estimate.value], [at], xerr=ends, marker="o", markersize=4, elinewidth=1, color=colour
                    )
            panel.axvline(0, color=SOFT, linewidth=0.8, zorder=0)
            panel.set_title("as they are" if part == "none" else part, loc="left", fontsize=9)
            panel.set_yticks(range(len(lines)), [line.method for line in lines])
            panel.spines[["top", "right"]].set_visible(False)
        for panel in grid.flat[len(parts) :]:
            panel.set_visible(False)
        figure.supxlabel("protection rate, %", fontsize=9)
        return saved(figure)


def pyplot() -> Any:
    """matplotlib, without a screen."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    return plt


def saved(figure: Any) -> str:
    """A figure as SVG, the same from run to run, on white."""
    data = io.StringIO()
    figure.savefig(data, format="svg", metadata={"Date": None, "Creator": None})
    pyplot().close(figure)
    svg = data.getvalue()
    return re.sub(r"\s*<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S)
