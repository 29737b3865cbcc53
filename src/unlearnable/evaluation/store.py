"""A store of finished work: a folder of cells, each named by a hash of all that decides its result.

A cell's JSON is written last and atomically: if it is present, the cell is done. Audit and benchmark share this store.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlearnable.images import files
from unlearnable.images.sheet import levels
from unlearnable.images.tensors import tensor
from unlearnable.storage.atomic import write_text

PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Cell:
    """One point of a grid. `facts` are JSON and hold all that decides the result, `code` included."""

    facts: Mapping[str, Any]

    @cached_property
    def key(self) -> str:
        return hashlib.sha256(json.dumps(dict(self.facts), sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Store:
    """Results of cells under a folder: ``key.json``, pictures in ``key/``, and a training run's state while it runs."""

    folder: Path

    def get(self, cell: Cell) -> dict[str, Any] | None:
        """The result, or None where the cell is not done: its JSON is absent or damaged, or pictures are missing."""
        try:
            content = json.loads(self._json(cell).read_text(encoding="utf-8"))
            result: dict[str, Any] = content["result"]
            paths = self.pictures(cell, result)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return result if all(path.is_file() for path in paths) else None

    def put(self, cell: Cell, result: Mapping[str, Any], pictures: Tensor) -> dict[str, Any]:
        """Write a result (JSON, without `pictures`) and pictures ``[n 3 h w]`` in [0, 1], as PNG files.

        Raises WriteError where they cannot be written. The state of the cell's training run is removed.
        """
        for i, x in enumerate(pictures):
            files.write(levels(x), self._picture(cell, i))
        stored = {**finite(result), "pictures": len(pictures)}
        write_text(self._json(cell), json.dumps({"facts": cell.facts, "result": stored}, indent=1, allow_nan=False))
        self.checkpoint(cell).unlink(missing_ok=True)
        return stored

    def fail(self, cell: Cell, status: str, message: str) -> None:
        """Write a cell's failure in place of its result; a later `put` replaces it."""
        failed = {"status": status, "message": message}
        write_text(self._json(cell), json.dumps({"facts": cell.facts, "failed": failed}, indent=1))

    def keys(self) -> set[str]:
        """The keys of all cells that are done or failed, from one listing of the folder."""
        return {path.stem for path in self.folder.glob("*.json")}

    def failure(self, cell: Cell) -> dict[str, str] | None:
        """The `status` and `message` of a cell that failed, else None."""
        try:
            failed = json.loads(self._json(cell).read_text(encoding="utf-8"))["failed"]
            return {"status": str(failed["status"]), "message": str(failed["message"])}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def pictures(self, cell: Cell, result: Mapping[str, Any]) -> list[Path]:
        return [self._picture(cell, i) for i in range(result["pictures"])]

    def load(self, cell: Cell, result: Mapping[str, Any]) -> Tensor:
        """The pictures of a cell, which are of one size, ``[n 3 h w]`` in [0, 1]."""
        return torch.stack([tensor(files.read(path).pixels) / 255 for path in self.pictures(cell, result)])

    def checkpoint(self, cell: Cell) -> Path:
        """Where the cell's training run keeps its state until it is done."""
        return self.folder / f"{cell.key}.safetensors"

    def _json(self, cell: Cell) -> Path:
        return self.folder / f"{cell.key}.json"

    def _picture(self, cell: Cell, number: int) -> Path:
        return self.folder / cell.key / f"{number:03}.png"


def finite(value: Any) -> Any:
    """A value for JSON, in which NaN and infinity become null at any depth."""
    if isinstance(value, Mapping):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@cache
def code(*places: str) -> str:
    """A hex digest of the package's sources in some files and folders; results of other code are not reused."""
    digest = hashlib.sha256()
    for place in places:
        source = PACKAGE / place
        for path in sorted(source.rglob("*.py")) if source.is_dir() else [source]:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
