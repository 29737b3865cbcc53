"""Offline mode, set for a run or, by ``HF_HUB_OFFLINE=1``, for all runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_asked: ContextVar[bool] = ContextVar("offline", default=False)


def offline() -> bool:
    """Whether only weights on this machine may be loaded; for ``local_files_only``."""
    return _asked.get() or os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")


@contextmanager
def going_offline(asked: bool) -> Iterator[None]:
    """Make `offline` true inside the block if `asked`. Do not put it around a `yield`: the caller would see it too."""
    token = _asked.set(_asked.get() or asked)
    try:
        yield
    finally:
        _asked.reset(token)
