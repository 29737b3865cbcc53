"""Record what commands show in a terminal, one SVG for all of them. Linux or macOS; pyte comes with the extra `dev`.

    python examples/terminal.py PAGE.svg "unlearnable doctor" "unlearnable protect photos -o protected"

A command that is given as `SECONDS:COMMAND` is shown as it stands after so many seconds, with its bar, and once more
when it is done.
"""

import codecs
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

WIDTH, HEIGHT = 100, 60
# Fonts of the reader's machine: a picture in a page may fetch none.
FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def output(command: str) -> Iterator[bytes]:
    """What the command writes to a terminal of its own, piece by piece; an empty piece each second."""
    leader, follower = pty.openpty()
    environment = os.environ | {"COLUMNS": str(WIDTH), "LINES": str(HEIGHT), "TERM": "xterm-256color"}
    process = subprocess.Popen(command, shell=True, stdin=follower, stdout=follower, stderr=follower, env=environment)
    os.close(follower)
    while True:
        if not select.select([leader], [], [], 1)[0]:
            yield b""
            continue
        try:
            piece = os.read(leader, 65536)
        except OSError:  # Linux says so when the command has ended
            piece = b""
        if not piece:
            break
        yield piece
    os.close(leader)
    process.wait()


def lines(screen: pyte.Screen) -> Text:
    """The screen's lines down to the last that is not empty, with their colours."""
    text = Text()
    last = max((i for i, line in enumerate(screen.display) if line.strip()), default=-1)
    for row in range(last + 1):
        cells = [screen.buffer[row][column] for column in range(len(screen.display[row].rstrip()))]
        for style, run in groupby(cells, style_of):
            text.append("".join(cell.data for cell in run), style)
        text.append("\n")
    return text


def style_of(cell: Any) -> Style:
    """A cell's colour and weight, as rich names them."""
    colour = {"default": None, "brown": "yellow"}.get(cell.fg, cell.fg)
    if colour and re.fullmatch("[0-9a-f]{6}", colour):
        colour = f"#{colour}"
    elif colour:
        colour = colour.replace("bright", "bright_")
    return Style(color=colour, bold=cell.bold)


def shown(command: str, after: float | None) -> Iterator[Text]:
    """The screen `after` so many seconds, if asked for, and when the command is done."""
    screen = pyte.Screen(WIDTH, HEIGHT)
    stream, decoder = pyte.Stream(screen), codecs.getincrementaldecoder("utf-8")("replace")
    began = time.monotonic()
    for piece in output(command):
        stream.feed(decoder.decode(piece))
        if after is not None and time.monotonic() - began > after:
            after = None
            yield lines(screen)
    yield lines(screen)


def main(page: Path, *commands: str) -> None:
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True, color_system="truecolor")
        for given in commands:
            timed = re.match(r"(\d+):(.*)", given)
            after, command = (float(timed[1]), timed[2]) if timed else (None, given)
            for number, screen in enumerate(shown(command, after)):
                title = f"$ {command}" if number == 0 else "... and when it is done:"
                console.print(Text(title, style="bold green" if number == 0 else "dim"))
                console.print(screen)
        page.write_text(FONTS.sub("", console.export_svg(title="Terminal")))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
