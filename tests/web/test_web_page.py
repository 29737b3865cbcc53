"""The page as it is served: private, labelled, and nothing in it from elsewhere. And the command without its extra."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from unlearnable.cli import web
from unlearnable.errors import SetupError, UsageError

pytest.importorskip("gradio", reason="the page's packages are not here: pip install 'unlearnable[web]'")

from starlette.testclient import TestClient

from unlearnable.web.files import Room
from unlearnable.web.serve import bound, telling_nobody


@pytest.fixture(scope="module")
def room():
    room = Room()
    telling_nobody(room)
    yield room
    room.close()


@pytest.fixture(scope="module")
def guard(room):
    from unlearnable.web.app import served

    return served(room, 7860)


@pytest.fixture
def client(guard):
    client = TestClient(guard, base_url="http://127.0.0.1:7860")
    client.get(f"/?key={guard.key}")
    return client


def test_only_the_holder_of_the_key_sees_the_page(guard, client):
    for path in ("/", "/config", "/gradio_api/info", "/gradio_api/queue/status", "/theme.css"):
        assert TestClient(guard, base_url="http://127.0.0.1:7860").get(path).status_code == 403
    assert client.get("/config").status_code == 200


def test_nothing_is_loaded_from_elsewhere(client):
    page, config = client.get("/").text, client.get("/config").json()
    loaded = re.findall(r"""<(?:script|link|img|iframe)[^>]*(?:src|href)=["'](https?://[^"']+)""", page)
    assert loaded == [] and config["stylesheets"] == [] and not config["analytics_enabled"]
    assert "fonts.googleapis" not in client.get("/theme.css").text
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"


def test_uploads_go_to_the_private_folder_and_other_files_are_not_served(client, room):
    sent = client.post("/gradio_api/upload", files={"files": ("../../évil.png", b"abc")})
    (path,) = sent.json()
    assert os.path.realpath(path).startswith(f"{room.uploads}/") and Path(path).read_bytes() == b"abc"
    for other in ("/etc/passwd", f"{room.shown}/../../../etc/passwd", f"{room.inside}", __file__):
        assert client.get(f"/gradio_api/file={other}").status_code in (403, 404)
    large = client.post("/gradio_api/upload", files={"files": ("large.png", b"0" * (100 * 2**20 + 1))})
    assert large.status_code == 413


def test_every_control_has_a_label_and_no_event_is_an_api(client):
    config = client.get("/config").json()
    controls = ("radio", "dropdown", "textbox", "number", "checkbox", "file", "imageslider")
    found = [part for part in config["components"] if part["type"] in controls]
    assert len(found) > 15 and all(part["props"].get("label") for part in found)
    buttons = [part["props"]["value"] for part in config["components"] if part["type"] == "button"]
    assert len(buttons) > 8 and all(buttons)
    assert not client.get("/gradio_api/info").json()["named_endpoints"]


def test_a_port_in_use_is_one_sentence_and_only_loopback_listens():
    listening = bound(0)
    host, port = listening.getsockname()
    listening.listen()
    assert host == "127.0.0.1"
    with pytest.raises(UsageError, match=f"port {port} cannot be used .*--port"):
        bound(port)
    with socket.socket() as other, pytest.raises(OSError):
        other.settimeout(1)
        other.connect(("127.0.0.2", port))
    listening.close()


def test_without_the_extra_the_command_is_one_sentence(monkeypatch):
    monkeypatch.setattr(web, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match=r'pip install "unlearnable\[web\]"') as caught:
        web.ui()
    assert "\n" not in str(caught.value)


def test_the_command_line_stays_light():
    script = "import sys, unlearnable.cli\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "unlearnable.cli.web" in loaded and not {"gradio", "uvicorn", "torch"} & set(loaded)
