"""Sources of a large run's pictures: folders of this machine, or URLs of any store that fsspec knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unlearnable.errors import UsageError, shown
from unlearnable.images import files
from unlearnable.images.find import check_clashes
from unlearnable.images.formats import SUFFIXES
from unlearnable.jobs.sinks import SCHEME, is_url, reach


def plain(address: str | Path) -> str | Path:
    """A path where a URL names a file of this machine."""
    scheme, mark, path = str(address).partition(SCHEME)
    return Path(path) if mark and is_url(address) and scheme in ("file", "local") else address


def listing(url: str, deep: bool) -> list[tuple[str, Path]]:
    """URL and relative path of every picture under a URL, in the order in which `files.find` lists a folder."""
    store, root = reach(url)
    try:
        if store.isfile(root):
            return [(url, Path(root.rpartition("/")[2]))]
        names = store.find(root, maxdepth=None if deep else 1)
    except OSError as error:
        raise UsageError(f"{shown(url)} cannot be listed ({error}): check the address and your rights") from error
    listed = [Path(name[len(root) :].lstrip("/")) for name in names]
    pictures = [p for p in listed if p.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in p.parts)]
    return [(f"{url.rstrip('/')}/{p.as_posix()}", p) for p in sorted(pictures, key=order)]


def order(path: Path) -> list[tuple[bool, str]]:
    """Files of a folder before its subfolders, each by name."""
    return [*((True, part) for part in path.parts[:-1]), (False, path.name)]


def sources(
    inputs: Sequence[str | Path], deep: bool, out: str | Path, format: str | None
) -> list[tuple[Path | str, Path]]:
    """`files.find` for folders and URLs together."""
    folder = None if is_url(out) else Path(out)
    if not any(map(is_url, map(plain, inputs))):
        return [*files.find([Path(plain(item)) for item in inputs], deep, folder, format)]
    pairs: list[tuple[Path | str, Path]] = []
    for item in map(plain, inputs):
        pairs += listing(str(item), deep) if is_url(item) else files.sources([Path(item)], deep, folder)
    pairs = list({str(source): (source, name) for source, name in pairs}.values())
    if not pairs:
        hint = "name files or another folder" if deep else "look into subfolders with -r, or name files"
        raise UsageError(f"found no pictures in {', '.join(shown(item) for item in inputs)}; {hint}")
    check_clashes([(Path(source), name) for source, name in pairs], format)
    if any(is_url(item) and item.rstrip("/") == str(out).rstrip("/") for item in map(str, inputs)):
        raise UsageError(f"{shown(str(out))} is the input and the output folder; choose another output folder")
    return pairs
