"""Every command's help, as a stranger reads it, against a file: a change of a flag, a default or a word is seen.

Write the file anew with `python tests/test_help.py` after a change that is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import typer
from typer.testing import CliRunner

from unlearnable import cli

GOLDEN = Path(__file__).parent / "golden" / "help.txt"
PLAIN = {
    "COLUMNS": "100",
    "TERMINAL_WIDTH": "100",
    "NO_COLOR": "1",
    "TERM": "dumb",
    "_TYPER_FORCE_DISABLE_TERMINAL": "1",
}


def commands(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of each command, groups before what is in them."""
    yield words
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        yield from commands(inner, (*words, name))


def helps() -> str:
    found = []
    for words in commands(typer.main.get_command(cli.app)):
        said = CliRunner().invoke(cli.app, [*words, "--help"], env=PLAIN, prog_name="unlearnable").output
        text = "\n".join(line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", said).strip().splitlines())
        found.append(f"$ {' '.join(('unlearnable', *words, '--help'))}\n\n{text}\n")
    return "\n\n".join(found)


def test_help_is_what_it_was():
    assert helps() == GOLDEN.read_text(encoding="utf-8"), "run `python tests/test_help.py` if this is meant"


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(helps(), encoding="utf-8")
