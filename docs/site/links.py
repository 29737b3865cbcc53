"""Links of documents: what they point to in the repository, and where that is on the site.

Files of `docs` keep their places. Others that documents link to are copied to `repository/`, with their paths.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

LINK = re.compile(r"(?<!`)(\]\()(?!\w+:|#|/)([^()\s#]+)(#[^()\s]*)?(\))")
QUOTED = re.compile(r"^```[\s\S]*?^```|`[^`\n]+`", re.M)
COPIES = "repository/"


def targets(text: str) -> list[tuple[str, str]]:
    """Relative links of a document, as (path, anchor without its #)."""
    return [(found[2], (found[3] or "")[1:]) for found in LINK.finditer(QUOTED.sub("", text))]


def outside(documents: Iterable[Path], root: Path) -> list[Path]:
    """Files of the repository that are not in `docs` and that documents link to, or such documents in their turn."""
    docs, found, left = root / "docs", dict[Path, None](), list(documents)
    while left:
        document = left.pop()
        if docs not in document.parents:
            found[document] = None
        for target, _ in targets(document.read_text(encoding="utf-8")):
            path = (document.parent / target).resolve()
            if path.is_file() and root in path.parents and docs not in path.parents and path not in found:
                found[path] = None
                left += [path] if path.suffix == ".md" else []
    return sorted(found)


def address(path: Path, root: Path) -> str:
    """Where a file of the repository is on the site."""
    docs = root / "docs"
    return path.relative_to(docs).as_posix() if docs in path.parents else COPIES + path.relative_to(root).as_posix()


def origin(uri: str, root: Path) -> Path:
    """The file of the repository that a page of the site was."""
    return root / uri.removeprefix(COPIES) if uri.startswith(COPIES) else root / "docs" / uri


def turned(text: str, source: Path, uri: str, root: Path) -> str:
    """The text of `source`, a page at `uri`, with links to files of the repository as the site has them."""

    def turn(found: re.Match[str]) -> str:
        path = (source.parent / found[2]).resolve()
        if root not in path.parents or not path.is_file():
            return found[0]
        where = posixpath.relpath(address(path, root), posixpath.dirname(uri))
        return f"{found[1]}{where}{found[3] or ''}{found[4]}"

    return LINK.sub(turn, text)
