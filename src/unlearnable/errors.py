"""The errors a caller can expect: each carries one sentence that holds the bad value and the remedy."""

import difflib
import os


class UnlearnableError(Exception):
    """Base of every error raised on purpose. ``str(error)`` is one sentence with the bad value and the remedy."""


class PictureError(UnlearnableError):
    """One input is bad; a batch reports it and goes on (exit code 1)."""


class WriteError(PictureError):
    """One output could not be written (a name too long, something in its way); a batch reports it and goes on."""


class DiskError(WriteError):
    """No output can be written at all (full disk, no permission): a batch stops, and keeps what is done."""


class UsageError(UnlearnableError):
    """The request makes no sense as it stands (exit code 2)."""


class SetupError(UnlearnableError):
    """The machine lacks something: a model, a network, a package, memory (exit code 3)."""


def shown(path: str | os.PathLike[str]) -> str:
    """Return `path` as text that is safe to print: no control characters, line breaks or lone surrogates.

    File names come from strangers; an escape sequence or a line break in one must not reach the terminal.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in os.fspath(path))


def suggestion(name: str, choices: list[str]) -> str:
    """Did you mean; else the whole list."""
    near = difflib.get_close_matches(name, choices, 1)
    return f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(choices)}"
