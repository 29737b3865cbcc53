"""Pictures of the results: what they show is what files and rows hold."""

import re
import runpy
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
TEXT = re.compile(r"<text[^>]*>([^<]*)</text>")


def test_the_committed_plots_are_those_of_the_committed_rows(tmp_path):
    runpy.run_path(str(ROOT / "benchmarks" / "draw.py"))["main"](tmp_path)
    for name in ("visibility.svg", "countermeasures.svg"):
        drawn, kept = ((folder / name).read_text() for folder in (tmp_path, ROOT / "docs" / "results"))
        assert TEXT.findall(drawn) == TEXT.findall(kept) and "ldu-fast" in TEXT.findall(kept)
        assert drawn.count("<path") == kept.count("<path")


def test_a_cell_shows_the_twin_and_the_difference_amplified(tmp_path):
    looks = runpy.run_path(str(ROOT / "benchmarks" / "looks.py"))
    before = np.random.default_rng(0).integers(60, 200, (64, 64, 3), np.uint8)
    Image.fromarray(before).save(tmp_path / "original.png")
    shown = np.asarray(looks["cell"](tmp_path / "original.png", tmp_path, "random")).astype(int)
    twin, change = shown[looks["LABEL"] : -64], shown[-64:]
    written = np.asarray(Image.open(tmp_path / "random" / "original.png")).astype(int)
    assert (twin == written).all() and np.abs(written - before).max() > 0
    assert (change == np.clip(128 + 10 * (written - before.astype(int)), 0, 255)).all()
