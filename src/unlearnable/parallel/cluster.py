"""A connection to a Ray cluster, found or started on this machine; Ray is imported on first use."""

from __future__ import annotations

import os
from typing import Any

from unlearnable.errors import SetupError

AUTO = "auto"
QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}


def connected(address: str = AUTO) -> Any:
    """The `ray` module, connected to the cluster at an address; `auto` finds one, or else starts one here.

    Raises SetupError where Ray is not installed, or no cluster answers.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise SetupError("--ray needs Ray: run `pip install 'unlearnable[bench]'`, or leave --ray out") from error
    try:
        if not ray.is_initialized():
            ray.init(address=None if address == AUTO else address, include_dashboard=False, **QUIET)
    except (ConnectionError, RuntimeError, ValueError) as error:
        what = f"no Ray cluster answers at {address!r}: start one, or use --ray auto ({first(error)})"
        raise SetupError(what) from error
    return ray


def first(error: Exception) -> str:
    """The first line of an error's message."""
    return str(error).strip().split("\n")[0][:200]
