"""A model's size without loading it, for methods that do not use the model itself."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnable.models.adapters import ADAPTERS
from unlearnable.models.load import folder_of, resolve_device

if TYPE_CHECKING:
    import torch

    from unlearnable.models.base import Model


@dataclass(frozen=True)
class Outline:
    """Replaces a `Model` where only these attributes are read; see `Model` for `size` and `multiple`."""

    name: str
    size: int
    multiple: int
    device: torch.device
    family: str = "not loaded"
    amp: None = None


def outline(name: str, device: str = "auto") -> Outline | None:
    """The outline of a model on this machine, read from its configurations; None where these do not suffice.

    Nothing is checked: a folder of another layout has no outline, and loading it raises the error.
    """
    folder = folder_of(name)
    if folder is None:
        return None
    try:
        module, cls = ADAPTERS[config(folder / "model_index.json")["_class_name"]]
        adapter: type[Model] = getattr(importlib.import_module(f"unlearnable.models.{module}"), cls)
        vae, *denoisers = (config(folder / part / "config.json") for part in ("vae", "unet", "transformer"))
        size, multiple = adapter.scale(denoisers[0] or denoisers[1], vae)
    except (KeyError, TypeError, AttributeError):
        return None
    return Outline(name, size, multiple, resolve_device(device))


def config(path: Path) -> Any:
    """The content of a configuration file, or None where it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
