"""Pages for everybody: axe-core finds nothing in light and dark, nothing scrolls sideways at 360 px, keys suffice."""

import shutil

import pytest
from driving import add, button, choose

import audited
import unlearnable
from test_documents import ROOT
from unlearnable.bench.page import write
from unlearnable.cli.protect import run as protect
from unlearnable.recipe import Recipe

pytestmark = pytest.mark.slow
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"], "resultTypes": ["violations"]}
TABS = (
    ("Check", "A minute's check"),
    ("Purify", "See for yourself"),
    ("Methods", "Open one for"),
    ("Doctor", "embedded"),
)
FOCUSED = """(e => e.getAttribute('aria-label') || e.labels?.[0]?.innerText || e.innerText || '')
  (document.activeElement)"""


FADED = """() => Promise.all(document.getAnimations()
  .filter(a => a.effect.getComputedTiming().endTime !== Infinity).map(a => a.finished.catch(() => null)))"""


def sound(tab):
    """Nobody is left out of what a tab shows: names, contrast, order and width."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install axe-playwright-python").Axe()
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        if tab.url.startswith("http"):  # gradio chooses when it is loaded
            tab.evaluate("dark => document.body.classList.toggle('dark', dark)", scheme == "dark")
        tab.wait_for_timeout(400)
        tab.evaluate(FADED)
        broken = axe.run(tab, options=RULES).response["violations"]
        assert not broken, "\n".join(
            f"{scheme}: {rule['id']}: {node['html'][:200]} {node['failureSummary']}"
            for rule in broken
            for node in rule["nodes"]
        )
    for width in (360, 3840):
        tab.set_viewport_size({"width": width, "height": 900})
        tab.wait_for_timeout(300)
        assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, width
    tab.set_viewport_size({"width": 1280, "height": 900})


def go_to(tab, name, keys="Tab"):
    """Press a key until something of that name has the focus."""
    for _ in range(60):
        tab.keyboard.press(keys)
        if tab.evaluate(FOCUSED).strip().startswith(name):
            return
    raise AssertionError(f"no key leads to {name}")


def test_the_page_with_results(page, pictures):
    sound(page)
    add(page, [pictures / "picture (0).png", pictures / "picture (1).png", pictures / "hostile.png"])
    choose(page, "random")
    button(page, "Try the strengths on a piece of the first picture").click()
    page.get_by_text("3 pictures will take about").wait_for()
    button(page, "Protect").click()
    page.get_by_text("hostile.png is a damaged").wait_for()
    page.get_by_text("Below is the difference").wait_for()
    sound(page)


def test_every_tab(page):
    page.get_by_role("tab", name="Protect").focus()
    for name, text in TABS:
        page.get_by_role("tab", name=name).press("Enter")
        page.get_by_text(text).last.wait_for()
        sound(page)


def test_the_page_by_keyboard(page, pictures):
    """From an empty page to a comparison, and no mouse."""
    go_to(page, "Click to upload")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files([pictures / "picture (0).png"])
    page.get_by_text("1 picture: ").first.wait_for()
    go_to(page, "Subtle")
    page.keyboard.press("Space")
    assert page.get_by_role("radio").first.is_checked()
    go_to(page, "Advanced")
    page.keyboard.press("Enter")
    go_to(page, "Method")
    page.keyboard.press("Control+a")
    page.keyboard.type("random")
    page.keyboard.press("Enter")
    go_to(page, "Protect")
    page.keyboard.press("Enter")
    page.get_by_text("Below is the difference").wait_for()
    go_to(page, "How much of the original")
    slides(page)


def slides(tab):
    """Keys move the line between both pictures, and what a screen reader says of it."""
    edge, at = tab.locator(".slide .edge").first, tab.evaluate("document.activeElement.value")
    left = edge.bounding_box()["x"]
    for _ in range(10):
        tab.keyboard.press("ArrowRight")
    assert edge.bounding_box()["x"] > left + 5
    assert tab.evaluate("document.activeElement.ariaValueText") == f"{int(at) + 10} percent original"


def test_the_page_of_a_comparison(tab, tmp_path, pictures):
    recipe = Recipe(method="random")
    options = {"mask": None, "recursive": True, "overwrite": False, "dry_run": False, "as_json": False}
    protect([str(pictures)], str(tmp_path), recipe, compare=True, **options)
    tab.goto((tmp_path / "compare" / "index.html").as_uri())
    sound(tab)
    go_to(tab, "How much of the original of picture (0).png")
    slides(tab)
    go_to(tab, "The difference, amplified")


def test_the_report_of_an_audit(tab, tmp_path):
    model = audited.unfitted()
    clean = audited.save(tmp_path / "clean")
    protected = audited.guarded(clean, tmp_path / "protected", model)
    options = {"model": model, "network": audited.features()}
    tab.goto(unlearnable.audit(clean, protected, tmp_path / "audit", audited.QUICK, **options).page.as_uri())
    sound(tab)
    go_to(tab, "All doubts")


def test_the_report_of_a_benchmark(tab, tmp_path):
    shutil.copy(ROOT / "benchmarks/results/v2/embedded/rows.json", tmp_path)
    tab.goto(write(tmp_path).as_uri())
    sound(tab)
