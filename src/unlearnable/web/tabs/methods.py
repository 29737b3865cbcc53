"""Methods: what there is, and what each one says of itself."""

from __future__ import annotations

from html import escape

import gradio as gr

from unlearnable import registry

KINDS = {"method": "Protections", "attacker": "Attackers", "purifier": "Countermeasures"}


def build() -> None:
    """The tab's parts: nothing of it changes."""
    gr.Markdown("Everything that is known here. Open one for its paper, equation and budget.")
    for kind, title in KINDS.items():
        entries = "".join(entry(kind, name) for name in registry.names(kind))
        gr.HTML(f"<h2>{title}</h2>{entries}", elem_classes="report", padding=False)


def entry(kind: str, name: str) -> str:
    known = registry.entry(name, kind)
    summary = known.summary.partition(": ")[2] or known.summary
    head = f"<summary><strong>{escape(name)}</strong> {escape(summary)}</summary>"
    return f"<details>{head}<pre>{escape(known.text)}</pre></details>"
