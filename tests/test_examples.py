"""The sheet of the front page: what it shows is what the files hold."""

import runpy
import sys
from pathlib import Path

import numpy as np
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_a_sheet_shows_originals_twins_and_differences(tmp_path, monkeypatch):
    grey = np.full((120, 160, 3), 100, np.uint8)
    for folder, shift in (("before", 0), ("after", 5)):
        (tmp_path / folder).mkdir()
        for name in ("a.png", "b.png"):
            Image.fromarray(grey + np.uint8(shift)).save(tmp_path / folder / name)
    page = tmp_path / "page.jpg"
    monkeypatch.setattr(sys, "argv", ["sheet.py", *(str(tmp_path / name) for name in ("before", "after")), str(page)])
    runpy.run_path(str(EXAMPLES / "sheet.py"), run_name="__main__")
    with Image.open(page) as image:
        assert image.format == "JPEG" and image.width == 1200
        levels = np.asarray(image.convert("L")).astype(int)
    for row in (0, image.height // 2):
        middles = [levels[row + 100 : row + 120, left : left + 20].mean() for left in (200, 600, 1000)]
        assert np.abs(np.array(middles) - [100, 105, 128 + 5 * 20]).max() < 3  # the gain makes 5 levels 100
