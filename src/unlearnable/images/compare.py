"""Sheets that show an original, its protected twin and their difference side by side."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIDE = 640  # px, the longest side of a panel
BAND = 22  # px of caption under a panel
FOLDER = "compare"  # in the output folder


def sheet(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Three panels of uint8 ``[h w 3]`` pictures, side by side; the difference is centred on grey and amplified."""
    difference, gain = amplified(before, after)
    titles = ("original", "protected", f"difference x {gain}")
    panels = [Image.fromarray(pixels) for pixels in (before, after, difference)]
    for panel in panels:
        panel.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    width, height = panels[0].size
    page = Image.new("RGB", (3 * width + 16, height + BAND), "white")
    pen = ImageDraw.Draw(page)
    for number, (panel, title) in enumerate(zip(panels, titles)):
        left = number * (width + 8)
        page.paste(panel, (left, 0))
        pen.text((left + 4, height + 4), title, fill="black", font_size=13)
    return np.asarray(page)


def amplified(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, int]:
    """The difference of two pictures on grey, and by how much it is amplified."""
    change = after.astype(np.float32) - before.astype(np.float32)
    largest = float(np.abs(change).max())
    gain = max(1, round(100 / largest)) if largest else 1
    return np.clip(128 + gain * change, 0, 255).astype(np.uint8), gain


def page_for(out: Path, protected: Path) -> Path:
    """The path of an output's comparison: below ``out/compare``, in the same subfolders, unique for each output."""
    page = out / FOLDER / protected.relative_to(out)
    return page if page.suffix == ".png" else page.with_name(page.name + ".png")
