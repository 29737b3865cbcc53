"""Silence the model libraries while they load: their hints are for developers, not for our users."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings and "loading" bars of diffusers and transformers; their settings are restored afterwards.

    The hub's messages about retries without a network are suppressed too. Progress bars of downloads stay, as those
    take minutes.
    """
    import diffusers.utils.logging as first
    import huggingface_hub.utils.logging as hub
    import transformers.utils.logging as second
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, enable_progress_bars

    downloads = not are_progress_bars_disabled()
    with_bars = [library for library in (first, second) if library.is_progress_bar_enabled()]
    levels = [(library, library.get_verbosity()) for library in (first, second, hub)]
    for library, _ in levels:
        library.set_verbosity(logging.ERROR)
    for library in (first, second):
        library.disable_progress_bar()
    if downloads:  # transformers switched these off as well
        enable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for library, level in levels:
            library.set_verbosity(level)
        for library in with_bars:
            library.enable_progress_bar()
