"""Pages of the reference that are made from the code: the command line's own help, and docstrings of the registry."""

from __future__ import annotations

import re

import typer
import typer.cli

from unlearnable import cli, registry

KINDS = {
    "methods": ("method", "Methods", "Ways to change pictures. `unlearnable methods NAME` prints the same."),
    "attackers": ("attacker", "Attackers", "What is trained on pictures. `unlearnable personalize --list` names them."),
    "countermeasures": (
        "purifier", "Countermeasures", "What an attacker does to pictures first. A chain: `jpeg:75+resize:0.5`.",
    ),
    "metrics": ("metric", "Metrics", "Figures of pictures and of attackers. `unlearnable measure --list` names them."),
}  # fmt: skip
EXAMPLE = re.compile(r"^(unlearnable .+)$", re.M)


def made() -> dict[str, str]:
    """Markdown by the name of its page."""
    return {"cli": commands(), **{name: entries(*what) for name, what in KINDS.items()}}


def commands() -> str:
    """Every command's help."""
    command = typer.main.get_command(cli.app)
    context = command.context_class(command, info_name="unlearnable")
    text = typer.cli.get_docs_for_click(obj=command, ctx=context, name="unlearnable", title="Commands")
    return EXAMPLE.sub(r"    \1", text.replace("[bold]", "**").replace("[/bold]", "**"))


def entries(kind: str, title: str, lead: str) -> str:
    """Everything of a kind, each with its docstring."""
    parts = [f"# {title}\n\n{lead}\n"]
    for name in registry.KINDS[kind]:
        parts.append(f"## {name}\n\n{registry.entry(name, kind).text.replace('``', '`')}\n")
    return "\n".join(parts)
