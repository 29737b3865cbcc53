"""The command `unlearnable ui` and headless Chromium: Debian's (`apt install chromium`), or what CHROMIUM names."""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from driving import button
from PIL import Image

import tiny

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
OWN = ("http://127.0.0.1:", "file:", "data:", "blob:")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The command itself, its private folder where we can look; (process, address, folder)."""
    pytest.importorskip("gradio", reason="the page's packages are not here: pip install 'unlearnable[web]'")
    folder = tmp_path_factory.mktemp("private")
    words = [sys.executable, "-m", "unlearnable.cli", "ui", "--no-open", "--port", "0"]
    environment = os.environ | {"TMPDIR": str(folder), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    address = next(found.group() for line in process.stdout if (found := re.search(r"http://\S+", line)))
    yield process, address, folder
    if process.poll() is None:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def browser():
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not here: pip install playwright")
    if not CHROMIUM:
        pytest.skip("chromium is not here: apt install chromium, or set CHROMIUM")
    with sync.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def tab(browser):
    """A fresh visitor's empty tab; it must end without a console error and without a request to elsewhere."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    tab, wrong = context.new_page(), []
    tab.set_default_timeout(120_000)
    tab.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("request", lambda sent: None if sent.url.startswith(OWN) else wrong.append(sent.url))
    yield tab
    context.close()
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def page(tab, server):
    """The page of the command in a tab."""
    tab.goto(server[1])
    button(tab, "Protect").wait_for()
    return tab


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for i, x in enumerate(tiny.pictures(3, seed=8, side=96)):
        Image.fromarray((x.permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(folder / f"picture ({i}).png")
    whole = (folder / "picture (2).png").read_bytes()
    (folder / "hostile.png").write_bytes(whole[: len(whole) // 2])
    return folder
