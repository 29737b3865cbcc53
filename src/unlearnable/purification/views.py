"""Pictures of any size through a model: the one place where model-based countermeasures cut, pad and join.

At the picture's own scale, always: up to one and a half times the model's size a picture is one view, padded at its end
by reflection to the model's multiple; larger ones are overlapping tiles, joined with raised-cosine weights. What is
joined is each view's change, so that a countermeasure that changes nothing gives the picture back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unlearnable.errors import UnlearnableError
from unlearnable.images import views
from unlearnable.models.base import Model

Work = Callable[[Tensor, Sequence[str]], Tensor]  # views ``[n c h w]`` and the names of their randomness -> views

AT_ONCE = 4  # views


@dataclass(frozen=True)
class Tiling:
    """Sides of tiles are multiples of `multiple`, `tile` px at most; neighbours share at least `overlap` px."""

    tile: int
    multiple: int
    overlap: int


def usual(model: Model) -> Tiling:
    """Tiles of one and a half times the model's size, a quarter of it shared."""
    tile = -(-model.size * 3 // (2 * model.multiple)) * model.multiple
    return Tiling(tile, model.multiple, tile // 4)


@torch.no_grad()
def by_views(device: torch.device, tiling: Tiling, images: Tensor, keys: Sequence[str], work: Work) -> Tensor:
    """Apply `work` on `device` to the views of pictures ``[b 3 h w]`` named by `keys`."""
    return joined(tiling, images.to(device, torch.float32), keys, work).clamp(0, 1).to(images)


def joined(tiling: Tiling, x: Tensor, keys: Sequence[str], work: Work) -> Tensor:
    """Apply `work` to the views of maps ``[b c h w]``; the randomness of view i of a map is named ``key:i``."""
    height, width = x.shape[-2:]
    canvas = views.plan(
        height, width, resolution=max(height, width), tile=tiling.tile, multiple=tiling.multiple,
        overlap=tiling.overlap, minimum=1,
    )  # fmt: skip
    count = len(canvas.tiles)
    cuts = torch.cat([views.cut(canvas, picture) for picture in x])
    names = [f"{key}:{i}" for key in keys for i in range(count)]
    changes = []
    for start in range(0, len(cuts), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        try:
            changes.append(work(cuts[part], names[part]) - cuts[part])
        except torch.OutOfMemoryError as error:
            at = "x".join(map(str, cuts.shape[-2:]))
            raise UnlearnableError(f"views of {at} do not fit into memory: use a smaller model") from error
    change = torch.cat(changes).split(count)
    return x + torch.stack([views.merge(canvas, deltas) for deltas in change])
