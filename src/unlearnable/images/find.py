"""Find the pictures that inputs name, and name their outputs so that none lies outside the output folder."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from unlearnable.errors import PictureError, UsageError, shown
from unlearnable.images.formats import ACCEPTED, OTHERS, SUFFIXES, output_format, output_name, sniff

MOST_NAMED = 20  # clashing pairs that an error names


def find(inputs: list[Path], recursive: bool, out: Path | None, format: str | None = None) -> list[tuple[Path, Path]]:
    """Return (source, its path relative to the input it came from) for every picture, sorted within each input.

    A file that is named is always listed; its relative path is its name. A folder stands for the files in it that have
    a picture's suffix, and with `recursive` for those in its subfolders too. In a folder these are skipped: names that
    start with a dot, linked folders, linked files whose target lies outside the folder, pipes, and the folder `out`.
    A source that is named twice is listed once. `format` is the output format, or None for each picture's own.

    Raises UsageError if `out` is one of the inputs, if a source would be overwritten by an output, if two sources would
    get the same output (names that differ only in case or Unicode form count as the same), if a folder cannot be
    listed, or if no picture was found.
    """
    pairs = sources(inputs, recursive, out)
    check_clashes(pairs, format)
    if out is not None:
        _check_overwrites(pairs, out, format)
    return pairs


def sources(inputs: list[Path], recursive: bool, out: Path | None = None) -> list[tuple[Path, Path]]:
    """Like `find`, for callers that do not write a file for each picture, so that names may clash."""
    pairs: dict[str, tuple[Path, Path]] = {}
    for root in map(Path, inputs):
        folder = os.path.isdir(root)
        if folder and out is not None and out.resolve() == root.resolve():
            raise UsageError(f"{shown(root)} is the input and the output folder; choose another output folder")
        for source, relative in _walk(root, recursive, out) if folder else [(root, Path(root.name))]:
            pairs.setdefault(os.path.abspath(source), (source, relative))
    if inputs and not pairs:
        hint = "name files or another folder" if recursive else "look into subfolders with -r, or name files"
        skipped = unaccepted(inputs, recursive, out)
        if skipped:
            hint = f"it holds {summary(skipped)}, which are not accepted: export them as one of {ACCEPTED}"
        raise UsageError(f"found no pictures in {', '.join(shown(root) for root in inputs)}; {hint}")
    return list(pairs.values())


def unaccepted(inputs: list[Path], recursive: bool, out: Path | None = None) -> list[tuple[Path, str]]:
    """Return (path, kind) of files in folders that look like pictures but that `find` skips.

    Kinds are a format's name ("GIF", "camera raw", also "PNG named otherwise", by a file's first bytes), "link that
    leads nowhere", "link out of the folder" and "linked folder". Files that are no pictures by name nor by content, and
    names that start with a dot, are not listed.
    """
    skipped: dict[str, tuple[Path, str]] = {}
    for root in map(Path, inputs):
        if os.path.isdir(root):
            for path, kind in _passed_over(root, recursive, out):
                skipped.setdefault(os.path.abspath(path), (path, kind))
    return list(skipped.values())


def summary(skipped: list[tuple[Path, str]]) -> str:
    """The kinds of skipped files in one line: ``3 GIF, 1 SVG``."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(kind for _, kind in skipped).items()))


def _passed_over(root: Path, recursive: bool, out: Path | None) -> Iterator[tuple[Path, str]]:
    true_root = root.resolve()
    for folder, subfolders, names in _tree(root, recursive, out):
        parent = Path(folder)
        for name in subfolders:
            if (parent / name).is_symlink():
                yield parent / name, "linked folder"
        for name in sorted(names):
            path = parent / name
            suffix = path.suffix.lower()
            if name.startswith("."):
                continue
            picture = suffix in SUFFIXES or suffix in OTHERS
            if not path.exists():
                if path.is_symlink() and (picture or not suffix):
                    yield path, "link that leads nowhere"
            elif not os.path.isfile(path):
                continue
            elif suffix in SUFFIXES:
                if not path.resolve().is_relative_to(true_root):
                    yield path, "link out of the folder"
            elif kind := OTHERS.get(suffix) or _by_content(path):
                yield path, kind


def _by_content(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            kind = sniff(file.read(64))
    except OSError:
        return None
    if kind in ("PDF", "EPS"):  # documents, unless their names say that they are pictures
        return None
    return f"{kind} named otherwise" if kind else None


def target(out_dir: Path, relative: Path) -> Path:
    """Return the path of an output inside `out_dir`, which need not exist yet.

    Raises PictureError if it would lie elsewhere: an absolute name, one with "..", one that leads through a link out of
    the folder, or one that is no valid file name. The last part of a path is safe, as writing replaces a link itself.
    """
    relative = Path(relative)
    problem = PictureError(f"{shown(relative)} would be written outside the output folder; rename the file")
    if relative.anchor or ".." in relative.parts or not relative.name:
        raise problem
    try:
        inside = (out_dir / relative).parent.resolve().is_relative_to(out_dir.resolve())
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name too long, a null character
        raise problem from error
    if not inside or "\0" in relative.name:
        raise problem
    return out_dir / relative


def _tree(root: Path, recursive: bool, out: Path | None) -> Iterator[tuple[str, list[str], list[str]]]:
    """Like `os.walk`, in order of names, without hidden folders and `out`; linked folders are listed, not entered."""
    true_out = out.resolve() if out is not None else None
    for folder, subfolders, names in os.walk(root, onerror=_cannot_list):
        parent = Path(folder)
        subfolders[:] = sorted(
            name
            for name in subfolders
            if recursive and not name.startswith(".") and (parent / name).resolve() != true_out
        )
        yield folder, subfolders, names


def _walk(root: Path, recursive: bool, out: Path | None) -> Iterator[tuple[Path, Path]]:
    true_root = root.resolve()
    for folder, _, names in _tree(root, recursive, out):
        parent = Path(folder)
        for name in sorted(names):
            source = parent / name
            if name.startswith(".") or source.suffix.lower() not in SUFFIXES:
                continue
            if os.path.isfile(source) and source.resolve().is_relative_to(true_root):
                yield source, source.relative_to(root)


def _cannot_list(error: OSError) -> None:
    raise UsageError(f"{shown(error.filename)} may not be listed; change its permissions or leave it out") from error


def _outputs(relative: Path, format: str | None) -> set[Path]:
    """The names that a source's output may get. A BMP may become a PNG, which is known only once it is read."""
    kind = SUFFIXES.get(relative.suffix.lower(), "PNG")
    return {output_name(relative, output_format(kind, format, plain=plain)[0]) for plain in (True, False)}


def _same_file_key(path: Path) -> str:
    return unicodedata.normalize("NFC", os.fspath(path)).casefold()


def check_clashes(pairs: list[tuple[Path, Path]], format: str | None) -> None:
    """Raise UsageError if sources would get the same output; the message names all of them."""
    seen: dict[str, Path] = {}
    clashes: dict[tuple[Path, Path], Path] = {}
    for source, relative in pairs:
        for output in sorted(_outputs(relative, format)):
            other = seen.setdefault(_same_file_key(output), source)
            if other != source:
                clashes.setdefault((other, source), output)
    if clashes:
        listed = [f"{shown(a)} and {shown(b)} (as {shown(output)})" for (a, b), output in clashes.items()]
        more = f" and {len(listed) - MOST_NAMED} more" if len(listed) > MOST_NAMED else ""
        raise UsageError(
            f"these would be written to the same file: {'; '.join(listed[:MOST_NAMED])}{more}; "
            "rename one of each, or run twice with two output folders"
        )


def _check_overwrites(pairs: list[tuple[Path, Path]], out: Path, format: str | None) -> None:
    sources = {os.path.realpath(source) for source, _ in pairs}
    for source, relative in pairs:
        for output in _outputs(relative, format):
            if os.path.realpath(out / output) in sources:
                raise UsageError(
                    f"{shown(source)} would overwrite an input with {shown(out / output)}; choose another output folder"
                )
