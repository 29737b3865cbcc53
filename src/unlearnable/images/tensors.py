"""Pictures of files and folders as tensors, for callers that do not write a file for each picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unlearnable.errors import PictureError
from unlearnable.images import files
from unlearnable.images.square import square


def tensor(pixels: np.ndarray) -> Tensor:
    """uint8 ``[h w 3]`` to float levels ``[3 h w]``, 0 .. 255."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).float()


def pictures(inputs: list[Path], recursive: bool, out: Path | None = None) -> tuple[list[Tensor], list[str]]:
    """The pictures ``[3 h w]`` in [0, 1] that can be read, and a sentence for each that cannot.

    Raises PictureError where none can be read, UsageError where there is none.
    """
    opened, failed = by_path(inputs, recursive, out)
    return list(opened.values()), failed


def by_path(inputs: list[Path], recursive: bool, out: Path | None = None) -> tuple[dict[Path, Tensor], list[str]]:
    """`pictures`, by the path of each."""
    images, failed = {}, []
    for source, _ in files.sources(inputs, recursive, out):
        try:
            images[source] = tensor(files.read(source).pixels) / 255
        except PictureError as error:
            failed.append(str(error))
    if not images:
        raise unreadable(failed)
    return images, failed


def unreadable(failed: Sequence[str]) -> PictureError:
    """The error to raise when every picture failed."""
    more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
    return PictureError(f"none of the pictures can be read: {failed[0]}{more}")


def squares(images: Sequence[Tensor], side: int) -> Tensor:
    """Pictures of any size, each scaled and cropped to a square, ``[n 3 side side]``."""
    return torch.cat([square(x[None], side) for x in images])
