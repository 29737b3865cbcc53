"""The page as a person meets it: the command, headless Chromium, three files of which one is hostile."""

import re
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest
from driving import add, button, choose
from PIL import Image

pytestmark = pytest.mark.slow


def test_three_files_one_hostile(page, pictures, tmp_path):
    add(page, [pictures / "picture (0).png", pictures / "picture (1).png", pictures / "hostile.png"])
    choose(page, "random")
    button(page, "Try the strengths on a piece of the first picture").click()
    page.get_by_text("3 pictures will take about").wait_for()
    assert page.locator(".figures img").count() == 4
    button(page, "Protect").click()
    page.get_by_text("hostile.png is a damaged").wait_for()
    page.wait_for_function("document.querySelectorAll('.figures img, .slide img').length === 7")
    page.wait_for_function("[...document.images].filter(i => i.offsetParent).every(i => i.complete && i.naturalWidth)")
    with page.expect_download() as loading:
        page.get_by_text("Download all as ZIP").first.click()
    loading.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.namelist() == ["picture (0).png", "picture (1).png"]
        archive.extractall(tmp_path)
    for name in archive.namelist():
        before, after = (np.asarray(Image.open(folder / name), np.int16) for folder in (pictures, tmp_path))
        assert before.shape == after.shape and 0 < abs(after - before).max() <= 6
    with page.expect_download() as loading:
        page.get_by_role("link", name="picture (1).png").click()
    assert loading.value.suggested_filename == "picture (1).png"
    assert Path(loading.value.path()).read_bytes() == (tmp_path / "picture (1).png").read_bytes()
    page.reload()  # finds its pictures and results again
    page.get_by_text("Download all as ZIP").first.wait_for()
    page.get_by_text("3 pictures: ").first.wait_for()
    page.wait_for_function("document.querySelectorAll('.figures img').length === 1")
    page.wait_for_timeout(1000)  # the answer's end: a reload before it is an error that gradio logs


def test_stop_keeps_what_is_done(page, pictures):
    add(page, [pictures / f"picture ({i}).png" for i in range(3)])
    choose(page, "advdm", 40)
    button(page, "Protect").click()
    page.get_by_text(re.compile("^[12] of 3 done")).wait_for(timeout=240_000)
    button(page, "Stop").first.click()
    page.get_by_text("Stopped. What is done is kept.").wait_for(timeout=240_000)
    page.get_by_text(re.compile("^[12] pictures? done")).wait_for()


def test_forgetting_and_leaving_delete_everything(page, server, pictures):
    process, _, folder = server
    (root,) = folder.glob("unlearnable-ui-*")
    assert root.stat().st_mode & 0o777 == 0o700
    add(page, [pictures / "picture (0).png", pictures / "picture (1).png"])
    assert len(list(root.glob("inside/*/originals/picture (1).png"))) >= 1
    before = len(list(root.rglob("picture*")))
    button(page, "Forget my pictures now").click()
    page.get_by_text("Nothing here yet").first.wait_for()
    assert len(list(root.rglob("picture*"))) == before - 2
    page.goto("about:blank")  # a page that is open says that its server is gone
    process.send_signal(signal.SIGINT)
    process.wait(30)
    assert not root.exists()
