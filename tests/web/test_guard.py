"""The guard before a small app of Starlette's, asked by Starlette's own client."""

import re
from http.cookies import SimpleCookie

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("starlette", reason="the page's packages are not here: pip install 'unlearnable[web]'")

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from unlearnable.web.guard import HERE, MOST_BYTES, Guard

BASE = "http://127.0.0.1:7860"


def answer(request):
    return PlainTextResponse("inside", headers={"Cache-Control": "public", "X-Own": "kept"})


@pytest.fixture(scope="module")
def guard():
    return Guard(Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])]), name="unlearnable-7860")


@pytest.fixture
def client(guard):
    """A browser that opened the address with the key."""
    client = TestClient(guard, base_url=BASE, follow_redirects=False)
    client.get(f"/?key={guard.key}")
    return client


def test_the_key_is_changed_for_a_cookie_and_leaves_the_address(guard):
    first = TestClient(guard, base_url=BASE, follow_redirects=False)
    assert first.get("/").status_code == 403 and "printed" in first.get("/").text
    assert first.get("/?key=guessed").status_code == 403
    done = first.get(f"/?key={guard.key}")
    assert (done.status_code, done.headers["location"]) == (303, "/")
    cookie = SimpleCookie(done.headers["set-cookie"])["unlearnable-7860"]
    assert cookie["httponly"] and cookie["samesite"] == "Lax" and cookie.value != guard.key
    assert first.get("/").text == "inside"
    forged = TestClient(guard, base_url=BASE, cookies={"unlearnable-7860": guard.key})
    assert forged.get("/").status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7860", "127.0.0.1:7860@evil.example", ""]
)
def test_a_foreign_host_is_refused(client, host):
    refused = client.get("/", headers={"host": host})
    assert refused.status_code == 403 and "127.0.0.1" in refused.text


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "LOCALHOST:9000", "127.0.0.1"])
def test_this_machines_names_are_let_in(client, host):
    cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    assert client.get("/", headers={"host": host, "cookie": cookie}).text == "inside"


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:7861", "https://127.0.0.1:7860", "http://localhost:7860"],
)
def test_a_foreign_origin_is_refused(client, origin):
    refused = client.post("/gradio_api/upload", content=b"x", headers={"origin": origin})
    assert refused.status_code == 403 and "other sites" in refused.text
    assert client.post("/gradio_api/upload", content=b"x", headers={"origin": BASE}).text == "inside"


@pytest.mark.parametrize(
    ("site", "mode", "code"),
    [
        ("cross-site", "no-cors", 403),
        ("same-site", "cors", 403),
        ("cross-site", "navigate", 200),
        ("none", "cors", 200),
    ],
)
def test_what_browsers_say_of_a_request_counts(client, site, mode, code):
    assert client.get("/", headers={"sec-fetch-site": site, "sec-fetch-mode": mode}).status_code == code


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_no_other_name_than_this_machines_is_ever_let_in(host):
    guard = Guard(answer)
    scope = {"method": "GET", "path": "/", "headers": [(b"host", host.encode())]}
    mine = re.sub(r":\d{1,5}$", "", host).lower() in ("127.0.0.1", "localhost")
    assert (guard.refusal(scope) is None) == mine == bool(HERE.fullmatch(host))


def test_requests_have_a_length_and_a_limit(client):
    def chunks():
        yield b"x"

    assert client.post("/gradio_api/upload", content=chunks()).status_code == 411
    refused = client.post("/gradio_api/upload", headers={"content-length": str(MOST_BYTES + 1)})
    assert refused.status_code == 413 and "2 GB" in refused.text
    assert client.post("/gradio_api/upload", headers={"content-length": "-1"}).status_code == 411


@pytest.mark.parametrize("path", ["/gradio_api/proxy=http://evil.example", "/gradio_api/file=https://evil.example/x"])
def test_the_server_fetches_nothing(client, path):
    assert client.get(path).status_code == 403


def test_every_answer_forbids_to_load_from_elsewhere(client):
    inside, outside = client.get("/"), TestClient(client.app, base_url=BASE).get("/")
    for found in (inside, outside):
        policy = found.headers["content-security-policy"]
        assert "default-src 'self'" in policy and "frame-ancestors 'self'" in policy and "http" not in policy
        assert found.headers["cache-control"] == "no-store"
    assert inside.headers["x-own"] == "kept"


def test_websockets_are_closed(client):
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/"):
        pass
