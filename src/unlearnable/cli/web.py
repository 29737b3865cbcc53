"""`unlearnable ui`: the page in a browser, for this machine only."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

import typer

from unlearnable.errors import SetupError

EXAMPLES = """[bold]Examples[/bold]

unlearnable ui

unlearnable ui --port 8000 --no-open

Needs the extra web: pip install "unlearnable[web]". Stop it with Ctrl-C; what was uploaded is deleted then."""


def ui(
    port: Annotated[int, typer.Option(help="Port on this machine; 0 takes a free one.", min=0, max=65535)] = 7860,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
) -> None:
    """Open a page in the browser: protect, compare, check and purify pictures without typing."""
    if find_spec("gradio") is None or find_spec("uvicorn") is None:
        raise SetupError('the page needs a package that is not here: pip install "unlearnable[web]"')
    from unlearnable.web.serve import serve

    serve(port, browser, lambda address: typer.echo(f"The page is at {address}\nStop it with Ctrl-C."))
