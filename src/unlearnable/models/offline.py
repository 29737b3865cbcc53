"""Whether the network may be touched: asked for by a run, or for all by ``HF_HUB_OFFLINE=1``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_asked: ContextVar[bool] = ContextVar("offline", default=False)


def offline() -> bool:
    """Whether whatever loads weights must take those of this machine; for ``local_files_only``."""
    return _asked.get() or os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")


@contextmanager
def going_offline(asked: bool) -> Iterator[None]:
    """Inside, `offline` is true if `asked`. Not around a `yield`: what is set would leak to the caller."""
    token = _asked.set(_asked.get() or asked)
    try:
        yield
    finally:
        _asked.reset(token)
