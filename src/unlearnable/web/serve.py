"""`unlearnable ui` at work: one address on loopback, and nothing left behind."""

from __future__ import annotations

import atexit
import os
import socket
import threading
import time
import webbrowser
from collections.abc import Callable

from unlearnable.errors import UsageError
from unlearnable.web.files import Room

HOST = "127.0.0.1"
SWEEP = 60.0  # seconds


def serve(port: int, browser: bool, say: Callable[[str], None]) -> None:
    """Serve the page until somebody interrupts; `say` is told its address. Raises UsageError for a port in use."""
    listening = bound(port)
    import uvicorn

    room = Room()
    atexit.register(room.close)
    telling_nobody(room)
    from unlearnable.web.app import served

    try:
        port = listening.getsockname()[1]
        guard = served(room, port)
        address = f"http://{HOST}:{port}/?key={guard.key}"
        say(address)
        threading.Thread(target=sweeping, args=(room,), daemon=True).start()
        if browser:
            threading.Timer(1.0, webbrowser.open, [address]).start()
        config = uvicorn.Config(
            guard, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=2
        )
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        room.close()
        listening.close()


def sweeping(room: Room) -> None:
    while True:
        time.sleep(SWEEP)
        room.sweep()


def telling_nobody(room: Room) -> None:
    """What gradio reads when it is imported: no telemetry, and uploads in the private folder."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["GRADIO_TEMP_DIR"] = str(room.uploads)
    os.environ["GRADIO_EXAMPLES_CACHE"] = str(room.uploads / "examples")


def bound(port: int) -> socket.socket:
    """A socket that listens on loopback, and nowhere else."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise UsageError(f"port {port} cannot be used ({error}): choose another with --port") from error
    return listening
