"""Protect: pictures in, a strength chosen by eye, protected twins out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from unlearnable import registry
from unlearnable.recipe import Recipe
from unlearnable.web import results, running, words
from unlearnable.web.files import Room
from unlearnable.web.tabs.pick import listed, names, picker
from unlearnable.web.work import follow

METHODS = "What each method does is in the tab Methods."
EMBEDDED = (
    "With the model that comes along (“embedded”) this is a demonstration: what it is worth against people who train "
    "Stable Diffusion is unproven. To protect for real, name the model that you expect them to use."
)


def build(room: Room, of: Any, job: dict[str, Any], quiet: dict[str, Any]) -> Any:
    """The tab's parts; returns what is to be called when the page is loaded: (function, outputs)."""
    gr.Markdown("## 1. Your pictures")
    listing = picker(room, of, running.ORIGINALS, "Pictures")
    gr.Markdown("## 2. How strong?")
    strength = gr.Radio([(text, name) for name, text in words.STRENGTHS.items()], value="standard", label="Strength")
    with gr.Accordion("Advanced", open=False):
        method = gr.Dropdown(registry.names(), value=Recipe().method, label="Method", info=METHODS)
        model = gr.Textbox(Recipe().model, label="Model to protect against", info=EMBEDDED)
        prompt = gr.Textbox(Recipe().prompt, label="What the pictures show", info="As somebody who trains would say it")
        steps = gr.Number(0, label="Steps", precision=0, minimum=0, info="0: as many as the method takes")
        keep = gr.Checkbox(False, label="Keep metadata (place, camera, author)")
    settings = [strength, method, prompt, steps, model, keep]
    trial = gr.Button("Try the strengths on a piece of the first picture")
    tried = gr.HTML("", elem_classes="report", padding=False)
    gr.Markdown("## 3. Protect")
    with gr.Row():
        go = gr.Button("Protect", variant="primary")
        stop = gr.Button("Stop", variant="stop")
    state = gr.HTML("", elem_classes="report", padding=False)
    with gr.Column(visible=False) as after:
        gr.Markdown("## 4. Compare and take home")
        which = gr.Dropdown([], label="Picture to compare")
        compared = gr.HTML("", elem_classes="report", padding=False)
        archive = gr.DownloadButton("Download all as ZIP", variant="primary")
    table = gr.HTML("", elem_classes="report", padding=False)
    ended = [after, which, table, archive]

    def try_out(request: gr.Request, *chosen: Any) -> Iterator[str]:
        yield from results.trial(of(request), lambda: running.recipe(*chosen))

    def protect(request: gr.Request, *chosen: Any) -> Iterator[Any]:
        session = of(request)
        session.notes[running.PROTECTED] = []
        yield working("", True)
        for seen in follow(lambda tell: running.protect(session, running.recipe(*chosen), tell), session.begin()):
            session.notes[running.PROTECTED] = list(seen.results)
            yield working(results.progress(session, seen), True)
        yield {**working(seen.html(), False), **shown(session)}

    def working(html: str, busy: bool) -> dict[Any, Any]:
        return {state: html, go: gr.update(interactive=not busy)}

    def shown(session: Any) -> dict[Any, Any]:
        found = results.gathered(session)
        choice = gr.update(choices=found.names, value=found.names[0] if found.names else None)
        return {
            after: gr.update(visible=bool(found.names)), which: choice, table: found.html,
            archive: str(found.archive) if found.archive else None,
        }  # fmt: skip

    def halt(request: gr.Request) -> None:
        of(request).stop.set()

    def compare(name: str | None, request: gr.Request) -> str:
        return results.compared(of(request), name)

    def back(request: gr.Request) -> dict[Any, Any]:
        session = of(request)
        return {listing: listed(names(session, running.ORIGINALS), []), **working("", False), **shown(session)}

    trial.click(try_out, settings, tried, **job)
    go.click(protect, settings, [state, go, *ended], **job)
    which.change(compare, which, compared, **quiet)
    stop.click(halt, None, None, queue=False, **quiet)
    return back, [listing, state, go, *ended]
