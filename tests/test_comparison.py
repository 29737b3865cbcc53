"""The page of `protect --compare`: both pictures as they are, side by side on one place, from files beside it alone."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from unlearnable.cli import protect as cli_protect
from unlearnable.evaluation import comparison
from unlearnable.recipe import Recipe

RECIPE = Recipe(method="random", eps=3, strength="paper")
OPTIONS = {"mask": None, "recursive": True, "overwrite": False, "dry_run": False, "as_json": False}


class Page(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.folder, text = path.parent, path.read_text(encoding="utf-8")
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def pixels(self, address):
        with Image.open(self.folder / unquote(address)) as image:
            return np.asarray(image.convert("RGB"))


def photograph(path, height=60, width=80, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(20, 235, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def run(source, out, recipe=RECIPE):
    assert cli_protect.run([str(source)], str(out), recipe, compare=True, **OPTIONS) == 0
    return Page(out / "compare" / "index.html")


def test_both_pictures_lie_beside_the_page_bit_for_bit(tmp_path):
    names = ["a b.png", "deep/100%#?.bmp", "deep/<i>'\".png"]
    before = {name: photograph(tmp_path / "in" / name, seed=i) for i, name in enumerate(names)}
    page = run(tmp_path / "in", tmp_path / "out")
    images = page.all("img")
    assert len(images) == 2 * len(names)
    for image in images:
        name = next(name for name in names if image["alt"].startswith(name))
        wanted = before[name]
        if image["class"] == "after":
            with Image.open(tmp_path / "out" / name) as written:
                wanted = np.asarray(written)
        assert (page.pixels(image["src"]) == wanted).all()
        assert (int(image["height"]), int(image["width"])) == (60, 80)
    assert not page.all("i"), "a file's name is text"
    for link in page.all("a"):
        assert page.pixels(link["href"]).shape[1] > 3 * 80


def test_every_slider_can_be_named_and_nothing_comes_from_elsewhere(tmp_path):
    photograph(tmp_path / "in" / "a.png")
    page = run(tmp_path / "in", tmp_path / "out")
    (slider,) = page.all("input")
    assert slider["type"] == "range" and "a.png" in slider["aria-label"] and "percent" in slider["aria-valuetext"]
    assert not page.all("script") and not page.all("link")
    text = (tmp_path / "out" / "compare" / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|@import|url\(", text)


def test_large_pictures_are_shown_smaller_and_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(comparison, "SIDE", 40)
    photograph(tmp_path / "in" / "a.png")
    page = run(tmp_path / "in", tmp_path / "out")
    assert [page.pixels(image["src"]).shape for image in page.all("img")] == [(30, 40, 3)] * 2
    assert "Shown scaled down to 40 px" in (tmp_path / "out" / "compare" / "index.html").read_text()


def test_an_original_is_scaled_as_its_twin_was(tmp_path):
    photograph(tmp_path / "in" / "a.png", 120, 160)
    page = run(tmp_path / "in", tmp_path / "out", Recipe(method="random", eps=3, strength="paper", web_size=80))
    before, after = (
        page.pixels(next(image["src"] for image in page.all("img") if image["class"] == side)).astype(int)
        for side in ("before", "after")
    )
    assert before.shape == after.shape == (60, 80, 3) and np.abs(after - before).max() == 3


def test_a_run_that_is_stopped_has_the_page_of_what_is_done(tmp_path, monkeypatch):
    for i in range(3):
        photograph(tmp_path / "in" / f"{i}.png", seed=i)
    shown = []

    def stop(result, as_json):
        shown.append(result)
        if len(shown) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(cli_protect, "show", stop)
    with pytest.raises(SystemExit):
        run(tmp_path / "in", tmp_path / "out")
    assert len(Page(tmp_path / "out" / "compare" / "index.html").all("input")) == 1
