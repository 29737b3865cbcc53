"""Who may talk to the page: the browser that opened the address with the key, on this machine, and no other site.

An ASGI layer around everything. A page that listens on loopback can be reached by every website that this machine's
browser shows (by a form, or by a name that is made to point here) and by every user of this machine. So the Host has
to be this machine's, the Origin the page's own, and the browser has to carry the cookie that the key was changed for.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Callable[[], Awaitable[Any]], Send], Awaitable[None]]

HERE = re.compile(r"(127\.0\.0\.1|localhost)(:\d{1,5})?", re.I)
FETCHING = re.compile(r"/gradio_api/(proxy=|file=\w+:/)", re.I)  # what would have the server ask other servers
MOST_BYTES = 2 * 2**30  # of one request: an upload
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; "
        "base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@dataclass
class Guard:
    """`app` behind the checks; `cookies` are those that were given for the key."""

    app: App
    key: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    name: str = "unlearnable"
    cookies: set[str] = field(default_factory=set)

    async def __call__(self, scope: Scope, receive: Callable[[], Awaitable[Any]], send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif refusal := self.refusal(scope):
            await answer(send, *refusal)
        elif (offered := self.offered(scope)) is not None:
            await self.admit(offered, send)
        elif self.visitor(scope) is None:
            await answer(send, 403, "Open the address that `unlearnable ui` printed: it holds the key to this page.")
        else:
            await self.app(scope, receive, covered(send))

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Why a request is not for this page, whoever sends it."""
        hosts, origins = header(scope, b"host"), header(scope, b"origin")
        if len(hosts) != 1 or not HERE.fullmatch(hosts[0]):
            return 403, "This page answers to 127.0.0.1 and localhost only."
        if any(origin.lower() != f"http://{hosts[0]}".lower() for origin in origins):
            return 403, "This page takes no requests from other sites."
        site, mode = header(scope, b"sec-fetch-site"), header(scope, b"sec-fetch-mode")
        opened = scope["method"] == "GET" and mode == ["navigate"]
        if site and site[0] not in ("same-origin", "none") and not opened:
            return 403, "This page takes no requests from other sites."
        if FETCHING.match(scope["path"]):
            return 403, "This page fetches nothing from other servers."
        length = "".join(header(scope, b"content-length"))
        if scope["method"] not in ("GET", "HEAD") and not (length.isascii() and length.isdigit()):
            return 411, "Say how long the request is."
        if length.isascii() and length.isdigit() and int(length) > MOST_BYTES:
            return 413, f"At most {MOST_BYTES / 2**30:g} GB are taken at once: upload fewer pictures at a time."
        return None

    def offered(self, scope: Scope) -> str | None:
        """The key that the address holds, if it holds one."""
        found = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("key")
        return found[0] if found and scope["path"] == "/" and scope["method"] == "GET" else None

    async def admit(self, offered: str, send: Send) -> None:
        """Change the key for a cookie of this browser's own, and lead on to the page without it."""
        if not secrets.compare_digest(offered.encode(), self.key.encode()):
            await answer(send, 403, "That key is not this page's: open the address that `unlearnable ui` printed.")
            return
        cookie = secrets.token_urlsafe(24)
        self.cookies.add(cookie)
        kept = f"{self.name}={cookie}; HttpOnly; SameSite=Lax; Path=/"
        await answer(send, 303, "", {"location": "/", "set-cookie": kept})

    def visitor(self, scope: Scope) -> str | None:
        """The cookie of the browser, where it is one of ours."""
        for text in header(scope, b"cookie"):
            try:
                found = SimpleCookie(text).get(self.name)
            except CookieError:
                continue
            if found and found.value in self.cookies:
                return found.value
        return None


def header(scope: Scope, name: bytes) -> list[str]:
    """All values of a header."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def covered(send: Send) -> Send:
    """`send`, with what every answer says to the browser: load nothing from elsewhere, be shown in no other page."""

    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            own = {name.encode(): value.encode() for name, value in HEADERS.items()}
            kept = [(name, value) for name, value in message.get("headers", []) if name.lower() not in own]
            message = {**message, "headers": [*kept, *own.items()]}
        await send(message)

    return sent


async def answer(send: Send, status: int, text: str, extra: dict[str, str] | None = None) -> None:
    """One sentence as plain text."""
    headers = {"content-type": "text/plain; charset=utf-8", **HEADERS, **(extra or {})}
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": text.encode()})
