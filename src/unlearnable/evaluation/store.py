"""Work that is done stays done: a folder of cells, each known by a hash of all that decides its result.

A cell's JSON is written last and at once: present means done. Benchmarks use the same cells and the same store.
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
    """One point of a grid. `facts` are JSON, and hold all that decides what comes out, `code` included."""

    facts: Mapping[str, Any]

    @cached_property
    def key(self) -> str:
        return hashlib.sha256(json.dumps(dict(self.facts), sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Store:
    """Results of cells under a folder: ``key.json``, pictures in ``key/``, and a training run's state while it runs."""

    folder: Path

    def get(self, cell: Cell) -> dict[str, Any] | None:
        """The result, or None where the cell is not done: no JSON, one that is not whole, or pictures missing."""
        try:
            found = json.loads(self._json(cell).read_text(encoding="utf-8"))
            result: dict[str, Any] = found["result"]
            paths = self.pictures(cell, result)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return result if all(path.is_file() for path in paths) else None

    def put(self, cell: Cell, result: Mapping[str, Any], pictures: Tensor) -> dict[str, Any]:
        """Keep a result (JSON, without `pictures`) and pictures ``[n 3 h w]`` in [0, 1], as PNG files.

        Raises WriteError where the disk does not take them. The state of the cell's training run is removed.
        """
        for i, x in enumerate(pictures):
            files.write(levels(x), self._picture(cell, i))
        whole = {**finite(result), "pictures": len(pictures)}
        write_text(self._json(cell), json.dumps({"facts": cell.facts, "result": whole}, indent=1, allow_nan=False))
        self.checkpoint(cell).unlink(missing_ok=True)
        return whole

    def fail(self, cell: Cell, status: str, message: str) -> None:
        """Note why a cell came to nothing, in the place of its result; a result put later takes that place."""
        failed = {"status": status, "message": message}
        write_text(self._json(cell), json.dumps({"facts": cell.facts, "failed": failed}, indent=1))

    def keys(self) -> set[str]:
        """Of all cells that are done or came to nothing; one listing, where there are thousands to ask about."""
        return {path.stem for path in self.folder.glob("*.json")}

    def failure(self, cell: Cell) -> dict[str, str] | None:
        """The `status` and `message` of a cell that came to nothing, else None."""
        try:
            found = json.loads(self._json(cell).read_text(encoding="utf-8"))["failed"]
            return {"status": str(found["status"]), "message": str(found["message"])}
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
    """JSON knows neither NaN nor infinity: they become null, at any depth."""
    if isinstance(value, Mapping):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@cache
def code(*places: str) -> str:
    """Hex digest of the package's sources under some files and folders: results of other code are made again."""
    digest = hashlib.sha256()
    for place in places:
        found = PACKAGE / place
        for path in sorted(found.rglob("*.py")) if found.is_dir() else [found]:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
