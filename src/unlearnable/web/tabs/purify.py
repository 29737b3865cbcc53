"""Purify: what an attacker does to pictures before training on them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from unlearnable import registry
from unlearnable.web import results, running
from unlearnable.web.files import Room
from unlearnable.web.tabs.pick import listed, names, picker
from unlearnable.web.work import follow

INTRO = (
    "See for yourself what is left of a protection. Without pictures of your own, those that you protected here are "
    "purified; the results say by how much they differ from what went in."
)
CHAINS = ["jpeg:75", "resize:0.5+jpeg:75", "blur:1", "noise:8", "saturate:1.25", "diffpure:0.15", "upscale"]


def build(room: Room, of: Any, job: dict[str, Any], quiet: dict[str, Any]) -> Any:
    """The tab's parts; returns what is to be called when the tab is opened: (function, outputs)."""
    gr.Markdown(INTRO)
    listing = picker(room, of, running.OTHERS, "Pictures")
    how = gr.Dropdown(
        CHAINS, value=CHAINS[0], label="Countermeasure", allow_custom_value=True,
        info=f"A name, or name:strength; + joins them. Known: {', '.join(registry.names('purifier'))}",
    )  # fmt: skip
    seed = gr.Number(0, label="Seed", precision=0, minimum=0)
    keep = gr.Checkbox(False, label="Keep metadata")
    with gr.Row():
        go = gr.Button("Purify", variant="primary")
        stop = gr.Button("Stop", variant="stop")
    state = gr.HTML("", elem_classes="report", padding=False)
    table = gr.HTML("", elem_classes="report", padding=False)
    archive = gr.DownloadButton("Download all as ZIP", visible=False)

    def purify(how: str, seed: float, keep: bool, request: gr.Request) -> Iterator[Any]:
        session = of(request)
        start = session.begin()
        for seen in follow(lambda tell: running.purify(session, how, int(seed or 0), keep, tell), start):
            session.notes[running.PURIFIED] = list(seen.results)
            yield seen.html(), "", gr.update(visible=False)
        found = results.gathered(session, running.PURIFIED)
        ready = gr.update(value=str(found.archive) if found.archive else None, visible=found.archive is not None)
        yield seen.html(), found.html, ready

    def halt(request: gr.Request) -> None:
        of(request).stop.set()

    def opened(request: gr.Request) -> str:
        return listed(names(of(request), running.OTHERS), [])

    go.click(purify, [how, seed, keep], [state, table, archive], **job)
    stop.click(halt, None, None, queue=False, **quiet)
    return opened, [listing]
