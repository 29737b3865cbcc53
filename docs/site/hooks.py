"""What mkdocs asks while it builds the site: pages made from code, and files of the repository that pages link to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
import links
import pages

ROOT = Path(__file__).parents[2]
NAMED = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages of the reference, the files outside `docs` that documents link to, and decisions to the nav."""
    for name, text in pages.made().items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    documents = [ROOT / "docs" / file.src_uri for file in files.documentation_pages() if not file.generated_by]
    for path in links.outside([*documents, *(ROOT / name for name in NAMED)], ROOT):
        files.append(File.generated(config, links.address(path, ROOT), abs_src_path=str(path)))
    decisions = sorted(file.src_uri for file in documents_of(files, "decisions/"))
    listed(config.nav, "decisions/README.md", [name for name in decisions if not name.endswith("README.md")])
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Links that leave `docs` go to the copies."""
    return links.turned(markdown, links.origin(page.file.src_uri, ROOT), page.file.src_uri, ROOT)


def documents_of(files: Files, folder: str) -> list[File]:
    return [file for file in files.documentation_pages() if file.src_uri.startswith(folder)]


def listed(nav: Any, first: str, more: list[str]) -> None:
    """Put pages behind the one that is their index, wherever it stands in the nav."""
    if isinstance(nav, list):
        if first in nav:
            nav += [name for name in more if name not in nav]
        for item in nav:
            listed(item, first, more)
    elif isinstance(nav, dict):
        for item in nav.values():
            listed(item, first, more)
