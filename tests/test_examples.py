"""The sheet of the front page: what it shows is what the files hold."""

import runpy
import sys
from pathlib import Path
from xml.etree import ElementTree

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


def test_a_page_of_drawings_has_the_picture_first_and_samples_beside_it(tmp_path, monkeypatch):
    for name, level in (("one", 40), ("two", 200)):
        (tmp_path / name / "samples").mkdir(parents=True)
        Image.new("RGB", (90, 60), (level,) * 3).save(tmp_path / f"{name}.png")
        for i in range(7):
            Image.new("RGB", (32, 32), (level + i + 1,) * 3).save(tmp_path / name / "samples" / f"{i:02}.png")
    page = tmp_path / "page.jpg"
    given = [page, *(tmp_path / part for part in ("one.png", "one", "two.png", "two"))]
    monkeypatch.setattr(sys, "argv", ["drawn.py", *map(str, given)])
    runpy.run_path(str(EXAMPLES / "drawn.py"), run_name="__main__")
    with Image.open(page) as image:
        levels = np.asarray(image.convert("L")).astype(int)
    for row, level in ((110, 40), (338, 200)):
        for column, left in enumerate((100, *(228 * i + 124 for i in range(1, 6)))):
            assert abs(levels[row - 5 : row + 5, left - 5 : left + 5].mean() - level - column) < 1.5
    assert levels.shape == (2 * 228 - 8, 6 * 228 + 16)  # five of the seven samples, and wider white after the picture


def test_photographs_are_written_whole_or_as_small_squares(tmp_path, monkeypatch):
    for words, size in (((), (451, 300)), (("96",), (96, 96))):
        folder = tmp_path / str(len(words))
        monkeypatch.setattr(sys, "argv", ["photographs.py", str(folder), *words])
        runpy.run_path(str(EXAMPLES / "photographs.py"), run_name="__main__")
        with Image.open(folder / "cat.png") as cat:
            assert cat.size == size
        assert len(list(folder.iterdir())) == 3


def test_a_terminal_is_shown_with_its_colours_in_between_and_at_the_end(tmp_path, monkeypatch):
    page = tmp_path / "page.svg"
    command = "2:printf '\\033[31mhalf\\033[0m way'; sleep 4; printf '\\r\\033[Kdone'"
    monkeypatch.setattr(sys, "argv", ["terminal.py", str(page), command])
    runpy.run_path(str(EXAMPLES / "terminal.py"), run_name="__main__")
    svg = ElementTree.parse(page)
    texts = [(element.get("class"), element.text) for element in svg.iter("{http://www.w3.org/2000/svg}text")]
    shown = [text.replace("\xa0", " ").strip() for _, text in texts if text.strip()]
    assert shown[-4:] == ["half", "way", "... and when it is done:", "done"] and shown[-5].startswith("$ printf")
    kinds = {text.strip(): kind for kind, text in texts}
    assert kinds["half"] != kinds["done"] and "font-face" not in page.read_text()
