"""Check: do the protected files move what models see, and what do attackers learn from them?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from unlearnable import registry
from unlearnable.web import html, judged, running
from unlearnable.web.files import Room
from unlearnable.web.tabs.pick import listed, names, picker
from unlearnable.web.work import follow

INTRO = (
    "Originals and their protected twins go together by name. Originals are those of the tab Protect; without twins of "
    "your own, what you protected there is checked."
)
QUICK = (
    "**A minute's check.** A model sees a picture only through its encoder. This compares how far your files move what "
    "the encoders see with what random noise of the same size does. Without moving it nothing is protected; with it, "
    "it may be."
)
LONG = (
    "**The audit.** Attackers train on your pictures, clean and protected, and a report says what they learned. "
    "Give it four pictures of one subject or more, better twelve. It takes minutes with few steps, hours with many."
)


def build(room: Room, of: Any, job: dict[str, Any], quiet: dict[str, Any]) -> Any:
    """The tab's parts; returns what is to be called when the tab is opened: (function, outputs)."""
    gr.Markdown(INTRO)
    with gr.Row():
        with gr.Column(min_width=280):
            originals = picker(room, of, running.ORIGINALS, "Originals")
        with gr.Column(min_width=280):
            twins = picker(room, of, running.TWINS, "Protected twins")
    gr.Markdown(QUICK)
    encoders = gr.Textbox("flux2,sd1", label="Encoders", info="flux2 and sd1 come along as small stand-ins")
    check = gr.Button("Check", variant="primary")
    checked = gr.HTML("", elem_classes="report", padding=False)
    gr.Markdown(LONG)
    attack = gr.Dropdown(registry.names("attacker"), value="dreambooth", label="Attacker")
    prompt = gr.Textbox("a photo of sks", label="What the pictures show, the subject as sks")
    purify = gr.Textbox("none,jpeg:75", label="Countermeasures", info="As in the tab Purify, with commas between them")
    steps = gr.Number(0, label="Training steps", precision=0, minimum=0, info="0: the attacker's own number")
    with gr.Row():
        audit = gr.Button("Audit", variant="primary")
        stop = gr.Button("Stop", variant="stop")
    audited = gr.HTML("", elem_classes="report", padding=False)
    report = gr.File(label="The report as a file", interactive=False, visible=False)

    def run_check(named: str, request: gr.Request) -> Iterator[str]:
        session = of(request)
        for seen in follow(lambda tell: running.check(session, named, tell), session.begin()):
            yield seen.html()
        if seen.state == "done":
            yield judged.encoders(seen.results[0], session)

    def run_audit(attack: str, prompt: str, purify: str, steps: float | None, request: gr.Request) -> Iterator[Any]:
        session = of(request)

        def start(tell: Any) -> Iterator[Any]:
            return running.audit(session, judged.settings(attack, prompt, purify, steps), tell)

        for seen in follow(start, session.begin()):
            yield seen.html(), gr.update(visible=False)
        if seen.state == "done":
            page = Path(seen.results[0].page)
            frame = f'<iframe class="page" title="Report of the audit" src="{html.address(page)}" sandbox></iframe>'
            yield judged.audit(seen.results[0], session) + frame, gr.update(value=str(page), visible=True)

    def halt(request: gr.Request) -> None:
        of(request).stop.set()

    def opened(request: gr.Request) -> tuple[str, str]:
        session = of(request)
        return listed(names(session, running.ORIGINALS), []), listed(names(session, running.TWINS), [])

    check.click(run_check, encoders, checked, **job)
    audit.click(run_audit, [attack, prompt, purify, steps], [audited, report], **job)
    stop.click(halt, None, None, queue=False, **quiet)
    return opened, [originals, twins]
