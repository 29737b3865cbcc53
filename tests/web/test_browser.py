"""The page as a person meets it: the command, headless Chromium, three files of which one is hostile.

Chromium is Debian's (`apt install chromium`), or what the variable CHROMIUM names.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tiny

sync = pytest.importorskip("playwright.sync_api", reason="playwright is not here: pip install playwright")
pytest.importorskip("gradio", reason="the page's packages are not here: pip install 'unlearnable[web]'")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="chromium is not here: apt install chromium, or set CHROMIUM"),
]

UNNAMED = """() => [...document.querySelectorAll('input, textarea, select, button, a, [role=tab], img, iframe')]
  .filter(e => e.offsetParent && e.type !== 'file' && !(e.tagName === 'IMG' && e.hasAttribute('alt')))
  .filter(e => ![e.getAttribute('aria-label'), e.getAttribute('aria-labelledby'), e.title, e.alt, e.innerText,
                 ...[...(e.labels || [])].map(l => l.innerText), e.querySelector('img')?.alt]
                .some(text => text && text.trim()))
  .map(e => e.outerHTML.slice(0, 160))"""
FAINT = """() => {
  const lum = c => { const [r, g, b] = c.map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
                     return 0.2126 * r + 0.7152 * g + 0.0722 * b };
  const rgb = s => (s.match(/[\\d.]+/g) || []).map(Number);
  const back = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
                      if (c.length === 3 || c[3] > 0.5) return c.slice(0, 3) } return [255, 255, 255] };
  return [...document.querySelectorAll('body *')].filter(e => e.offsetParent && !e.closest('[disabled]')
      && [...e.childNodes].some(n => n.nodeType === 3 && /[\\p{L}\\p{N}]/u.test(n.data)))
    .map(e => { const s = getComputedStyle(e), [a, b] = [lum(rgb(s.color).slice(0, 3)), lum(back(e))];
                const large = parseFloat(s.fontSize) >= 24 || parseFloat(s.fontSize) >= 18.5 && s.fontWeight >= 700;
                const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
                return [ratio, large ? 3 : 4.5, e.outerHTML.slice(0, 160)] })
    .filter(([ratio, least]) => ratio < least).map(found => found.join(' '))
}"""
WIDTH = "() => document.documentElement.scrollWidth - window.innerWidth"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The command itself, its private folder where we can look; (process, address, folder)."""
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
    with sync.sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser, server):
    """A fresh visitor's page; it must end without a console error and without a request to elsewhere."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page, wrong = context.new_page(), []
    page.set_default_timeout(120_000)
    page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    own = ("http://127.0.0.1:", "data:", "blob:")
    page.on("request", lambda sent: None if sent.url.startswith(own) else wrong.append(sent.url))
    page.goto(server[1])
    button(page, "Protect").wait_for()
    yield page
    context.close()
    assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for i, x in enumerate(tiny.pictures(3, seed=8, side=96)):
        Image.fromarray((x.permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(folder / f"picture ({i}).png")
    whole = (folder / "picture (2).png").read_bytes()
    (folder / "hostile.png").write_bytes(whole[: len(whole) // 2])
    return folder


def button(page, name):
    return page.get_by_role("button", name=name, exact=True)


def add(page, paths):
    page.locator("input[type=file]").first.set_input_files([str(path) for path in paths])
    page.get_by_text(f"{len(paths)} pictures: ").first.wait_for()


def choose(page, method, steps=0):
    page.get_by_role("button", name="Advanced").click()
    field = page.get_by_label("Method").first
    field.click()
    field.fill(method)
    page.get_by_role("option", name=method, exact=True).click()
    assert field.input_value() == method
    page.get_by_label("Steps", exact=True).first.fill(str(steps))
    page.keyboard.press("Tab")


def test_three_files_one_hostile(page, pictures, tmp_path):
    add(page, [pictures / "picture (0).png", pictures / "picture (1).png", pictures / "hostile.png"])
    choose(page, "random")
    button(page, "Try the strengths on a piece of the first picture").click()
    page.get_by_text("3 pictures will take about").wait_for()
    assert page.locator(".figures img").count() == 4
    button(page, "Protect").click()
    page.get_by_text("hostile.png is a damaged").wait_for()
    page.wait_for_function("document.querySelectorAll('.figures img').length === 7")
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
    for width in (360, 3840):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(500)
        assert page.evaluate(WIDTH) <= 0
    assert page.evaluate(UNNAMED) == [] and page.evaluate("document.documentElement.lang") == "en"
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.reload()
        page.get_by_text("Download all as ZIP").first.wait_for()  # a reload finds its pictures and results again
        page.get_by_text("3 pictures: ").first.wait_for()
        page.wait_for_function("document.querySelectorAll('.figures img').length === 3")
        page.wait_for_timeout(1000)  # the answer's end: a reload before it is an error that gradio logs
        assert page.evaluate(FAINT) == []


def test_stop_keeps_what_is_done(page, pictures):
    add(page, [pictures / f"picture ({i}).png" for i in range(3)])
    choose(page, "advdm", 40)
    button(page, "Protect").click()
    page.get_by_text(re.compile("^[12] of 3 done")).wait_for(timeout=240_000)
    button(page, "Stop").first.click()
    page.get_by_text("Stopped. What is done is kept.").wait_for(timeout=240_000)
    page.get_by_text(re.compile("^[12] pictures? done")).wait_for()


def test_every_tab_by_keyboard(page):
    page.get_by_role("tab", name="Protect").focus()
    for name, text in (("Check", "A minute's check"), ("Purify", "See for yourself"), ("Methods", "Open one for")):
        page.get_by_role("tab", name=name).press("Enter")
        page.get_by_text(text).last.wait_for()
        assert page.evaluate(UNNAMED) == [] and page.evaluate(FAINT) == []
        page.set_viewport_size({"width": 360, "height": 900})
        page.wait_for_timeout(300)
        assert page.evaluate(WIDTH) <= 0
        page.set_viewport_size({"width": 1280, "height": 900})
        page.wait_for_timeout(300)
    page.get_by_role("tab", name="Doctor").press("Enter")
    page.get_by_text("embedded model").wait_for()


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
