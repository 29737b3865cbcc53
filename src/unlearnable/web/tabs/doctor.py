"""Doctor: is this machine fit?"""

from __future__ import annotations

from typing import Any

import gradio as gr

from unlearnable.web import html


def build() -> Any:
    """The tab's parts; returns what is to be called when the tab is opened: (function, outputs)."""
    gr.Markdown("What this machine has, and what is wrong with it.")
    found = gr.HTML("", elem_classes="report", padding=False)
    return examined, [found]


def examined() -> str:
    from unlearnable.doctor import examine

    rows = [[finding.name, "fine" if finding.ok else "needs attention", finding.value] for finding in examine()]
    return html.table(["What", "Verdict", "Found"], rows, "This machine")
