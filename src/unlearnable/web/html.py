"""Pieces of the page in HTML: tables, lists and pictures, readable by eyes and by screen readers."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from unlearnable.evaluation.html import environment


def listed(sentences: list[str], title: str) -> str:
    """Sentences as a list in HTML, under a title; nothing where there are none."""
    if not sentences:
        return ""
    return f"<p><strong>{escape(title)}</strong></p><ul>{''.join(f'<li>{escape(s)}</li>' for s in sentences)}</ul>"


def table(head: list[str], rows: list[list[str]], caption: str, links: Mapping[str, Path] | None = None) -> str:
    """A table in HTML that a screen reader can read; a narrow window scrolls it sideways, not the page.

    `links` are files to download, by the text of the first column.
    """
    heads = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = ""
    for first, *others in rows:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in others)
        lines += f'<tr><th scope="row">{linked(first, links)}</th>{cells}</tr>'
    body = f"<caption>{escape(caption)}</caption><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody>"
    return f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table>{body}</table></div>'


def linked(text: str, links: Mapping[str, Path] | None) -> str:
    """A text, as a download where there is a file for it."""
    if not links or text not in links:
        return escape(text)
    return f'<a href="{address(links[text])}" download="{escape(text)}">{escape(text)}</a>'


def address(path: Path) -> str:
    """Where the page serves one of its files; another address once it is written anew."""
    return escape(f"/gradio_api/file={quote(str(path))}?{path.stat().st_mtime_ns}")


def slider(name: str, before: Path, after: Path, height: int, width: int) -> str:
    """The slider of `protect --compare`: a picture and its twin on one place, and a line that keys move, too."""
    template = environment().get_template("slide.html.j2").module
    # a template's macros are attributes of its module, which its type does not know
    slide = {"name": name, "before": Markup(address(before)), "after": Markup(address(after))}
    return str(template.slider({**slide, "height": height, "width": width}))  # type: ignore[attr-defined]


def gallery(pictures: list[tuple[Path, str, str]], kind: str = "") -> str:
    """Pictures (file, name, caption) side by side as far as there is room."""
    parts = "".join(
        f'<figure><img src="{address(path)}" alt="{escape(name)}"><figcaption>{escape(text)}</figcaption></figure>'
        for path, name, text in pictures
    )
    return f'<div class="figures {kind}">{parts}</div>'
