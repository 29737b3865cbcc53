"""The page: its tabs, its looks, and the guard around it. Imported once `serve.telling_nobody` has been called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import FastAPI

from unlearnable import evaluation
from unlearnable.images.limits import DEFAULT
from unlearnable.web.files import Room, Session
from unlearnable.web.guard import Guard
from unlearnable.web.tabs import check, doctor, methods, protect, purify

TITLE = "unlearnable"
INTRO = (
    "# unlearnable\n"
    "Makes pictures hard for diffusion models to learn, and measures whether that worked. It raises an attacker's cost "
    "and guarantees nothing. Everything happens on this machine; your files are never changed."
)
FORGET = "Forget my pictures now"
QUEUE = 20  # jobs that may wait
LANGUAGE = "<script>document.documentElement.lang = 'en'</script>"


def page(room: Room, cookie: str) -> Any:
    """The page as gradio's Blocks; `cookie` is the name of the cookie by which visitors are told apart."""

    def of(request: gr.Request) -> Session:
        return room.session(request.cookies.get(cookie, ""))

    def entered(request: gr.Request) -> None:
        of(request).enter()

    def left(request: gr.Request) -> None:
        of(request).leave()

    def cleared(request: gr.Request) -> None:
        of(request).clear()

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    job: dict[str, Any] = {**quiet, "concurrency_id": "job", "concurrency_limit": 1}
    gr.set_static_paths([room.shown])
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=False) as blocks:
        gr.Markdown(INTRO)
        with gr.Tab("Protect"):
            back, parts = protect.build(room, of, job, quiet)
            blocks.load(back, None, parts, **quiet)
            blocks.load(entered, None, None, **quiet)
        for name, build in (("Check", check.build), ("Purify", purify.build)):
            with gr.Tab(name) as tab:
                opened, parts = build(room, of, job, quiet)
                tab.select(opened, None, parts, **quiet)
        with gr.Tab("Methods"):
            methods.build()
        with gr.Tab("Doctor") as tab:
            opened, parts = doctor.build()
            tab.select(opened, None, parts, **quiet)
        forget = gr.Button(FORGET, size="sm", variant="secondary")

        forget.click(cleared, None, None, **quiet).then(None, js="() => location.reload()")
        blocks.unload(left)
    return blocks.queue(max_size=QUEUE, default_concurrency_limit=8)


def served(room: Room, port: int) -> Guard:
    """The whole as an ASGI app: the page behind the guard."""
    name = f"unlearnable-{port}"
    blocks = page(room, name)
    plain: dict[str, Any] = {"openapi_url": None, "docs_url": None, "redoc_url": None}
    app = gr.mount_gradio_app(
        FastAPI(**plain), blocks, path="", server_name="127.0.0.1", server_port=port, footer_links=[],
        run_history=False, app_kwargs=plain, max_file_size=DEFAULT.max_bytes, ssr_mode=False, pwa=False,
        mcp_server=False, enable_monitoring=False, theme=theme(), head=LANGUAGE,
        css_paths=[Path(evaluation.__file__).with_name("slide.css"), Path(__file__).with_name("page.css")],
    )  # fmt: skip
    return Guard(app, name=name)


def theme() -> Any:
    """gradio's own, in the fonts of this machine: none is fetched."""
    fonts: dict[str, Any] = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    strong = {"button_primary_background_fill": "*primary_700", "button_primary_background_fill_hover": "*primary_800"}
    strong |= {"button_cancel_background_fill": "#b91c1c", "button_cancel_background_fill_hover": "#991b1b"}
    dark = {f"{name}_dark": value for name, value in strong.items()}
    return gr.themes.Default(primary_hue="blue", **fonts).set(
        **strong, **dark, color_accent="*primary_700", block_label_text_color="*neutral_700",
        block_title_text_color="*neutral_700", block_info_text_color="*neutral_600",
    )  # fmt: skip
