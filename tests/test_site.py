"""The documents as a site: it builds without a warning, fetches nothing when read, and has every command and name."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from test_help import commands as all_commands
from unlearnable import cli, registry

pytest.importorskip("mkdocs", reason="needs the extra docs")
ROOT = Path(__file__).resolve().parents[1]
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(?:\w+:)?//|<link\b[^>]*\bhref=["']?(?:\w+:)?//"""
    r"""|@import|url\(["']?(?:\w+:)?//"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_no_page_fetches_anything(site):
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(pages) > 50
    assert FETCHED.search('<script async src="https://elsewhere/x.js">') and FETCHED.search("src: url(//elsewhere)")
    for page in pages:
        assert not (found := FETCHED.search(page.read_text(encoding="utf-8"))), f"{page.relative_to(site)}: {found[0]}"


def test_search_has_every_document_and_needs_no_server(site):
    script = (site / "search" / "search_index.js").read_text(encoding="utf-8")
    index = json.loads(script.removeprefix("var __index = "))
    there = {entry["location"].partition("#")[0] for entry in index["docs"]}
    for path in (ROOT / "docs").rglob("*.md"):
        page = path.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert page.replace("README.html", "index.html") in there


def test_the_reference_has_every_command_and_every_name(site):
    reference = {path.stem: path.read_text(encoding="utf-8") for path in (site / "reference").glob("*.html")}
    for words in all_commands(typer.main.get_command(cli.app)):
        assert not words or f'id="unlearnable-{"-".join(words)}"' in reference["cli"]
    pages = {"method": "methods", "attacker": "attackers", "purifier": "countermeasures", "metric": "metrics"}
    for kind, page in pages.items():
        assert all(f'<h2 id="{name}">' in reference[page] for name in registry.names(kind))
