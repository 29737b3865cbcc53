"""A place to drop pictures or a folder, and the list of what is there."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from unlearnable.images.formats import ACCEPTED
from unlearnable.web import html, words
from unlearnable.web.files import Room, Session

SHOWN = 12  # names


def picker(room: Room, of: Any, slot: str, title: str) -> gr.HTML:
    """Put a picker for `slot` into the page; returns the list. `of` finds the session of a request."""
    files = gr.File(label=f"{title}: drop files here", file_count="multiple", height=140)
    with gr.Row():
        folder = gr.UploadButton("Add a whole folder", file_count="directory", size="sm")
        clear = gr.Button("Remove all", size="sm")
    listing = gr.HTML(listed([], []), elem_classes="listing", padding=False)

    def take(uploads: Any, request: gr.Request) -> tuple[Any, str]:
        session: Session = of(request)
        given = uploads if isinstance(uploads, list) else [uploads] if uploads else []
        refused = session.take(given, slot, room.uploads)
        return None, listed(names(session, slot), refused)

    def empty(request: gr.Request) -> str:
        session: Session = of(request)
        for path in session.pictures(slot):
            path.unlink()
        return listed([], [])

    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    for part in (files, folder):
        part.upload(take, part, [part, listing], preprocess=False, **quiet)
    clear.click(empty, None, listing, **quiet)
    return listing


def names(session: Session, slot: str) -> list[str]:
    return [path.name for path in session.pictures(slot)]


def listed(found: list[str], refused: list[str]) -> str:
    """What is there, and a sentence for each file that is not."""
    if not found:
        text = f"Nothing here yet. {ACCEPTED} are read; your own files are never changed."
    else:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        text = f"{words.count(len(found))}: {', '.join(found[:SHOWN])}{more}"
    return f'<div role="status"><p>{escape(text)}</p>{html.listed(refused, "Not taken")}</div>'
