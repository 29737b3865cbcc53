"""One picture on its way through a model: cut into views, and sealed again at its own size on the 8-bit grid."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from unlearnable.errors import PictureError, shown
from unlearnable.images import files, views
from unlearnable.images.tensors import tensor
from unlearnable.protection.constraints import Constraint
from unlearnable.protection.visibility import largest

if TYPE_CHECKING:
    from unlearnable.models.base import Model


@dataclass(frozen=True)
class Sizes:
    """At what scale and in what tiles a model sees pictures; see `views.plan`."""

    resolution: int
    tile: int
    multiple: int
    minimum: int = 64

    def plan(self, height: int, width: int) -> views.Canvas:
        return views.plan(height, width, **vars(self))


def sizes(model: Model, resolution: int = 0, side: int = 0) -> Sizes:
    """The working scale: `resolution`, or else `side`, or the model's size, or twice that for models below 512 px.

    A tile takes pictures of that default scale whole, up to 9:4; a larger `resolution` means more tiles of that size.
    """
    usual = side or max(model.size, min(2 * model.size, 512))
    tile = -(-min(resolution or usual, usual) * 3 // 2 // model.multiple) * model.multiple
    return Sizes(resolution or usual, tile, model.multiple)


@dataclass(frozen=True)
class Job:
    """A source and its plan. Pixels are read when they are needed, so that waiting jobs cost no memory.

    A picture whose longer side has more than `side` px is scaled down to that before anything else; 0: none is.
    """

    source: Path
    name: Path
    mask: Path | None
    digest: str
    content: str
    canvas: views.Canvas
    done: bool = False
    side: int = 0

    def picture(self) -> files.Picture:
        """The picture that is protected."""
        return files.within(self.source, self.side)

    def masked(self, picture: files.Picture) -> Tensor:
        """1 where it may change, ``[1 h w]``, else 0."""
        return masked(picture, self.mask, self.side)

    def cut(self) -> tuple[Tensor, Tensor]:
        """Views ``[n 3 h w]`` in [0, 1], and their masks ``[n 1 h w]``, 0 where nothing may change."""
        picture = self.picture()
        return views.cut(self.canvas, tensor(picture.pixels) / 255), views.cut(self.canvas, self.masked(picture))


def digest(source: Path, mask: Path | None = None) -> str:
    """sha256 of a file's bytes, and of its mask's; "" if it cannot be read (`files.read` has the sentence for that)."""
    total = hashlib.sha256()
    try:
        if not source.is_file():
            return ""
        for path in (source, mask):
            if path is not None:
                with path.open("rb") as file:
                    total.update(hashlib.file_digest(file, "sha256").digest())
    except OSError:
        return ""
    return total.hexdigest()


def masked(picture: files.Picture, mask: Path | None, side: int = 0) -> Tensor:
    """1 where a picture may change, ``[1 h w]``: in the mask's light parts, where it is not transparent; else 0.

    The mask is scaled down to `side` as the picture was.
    """
    height, width = picture.pixels.shape[:2]
    allowed = torch.ones(1, height, width)
    if picture.alpha is not None:
        allowed *= torch.from_numpy(picture.alpha > 0)
    if mask is not None:
        light = files.within(mask, side).pixels.max(2)
        if light.shape != (height, width):
            raise PictureError(
                f"the mask {shown(mask)} is {light.shape[1]} x {light.shape[0]} px and the picture {width} x {height}: "
                "make it the picture's size"
            )
        allowed *= torch.from_numpy(light >= 128)
    return allowed


def seal(picture: files.Picture, delta: Tensor, mask: Tensor, constraint: Constraint) -> files.Picture:
    """The picture with a perturbation ``[3 h w]`` (in [0, 1] units) put on the 8-bit grid within the budget."""
    x = tensor(picture.pixels)
    levels = constraint.seal(x, delta.cpu() * 255, mask)
    pixels = (x + levels).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return replace(picture, pixels=np.ascontiguousarray(pixels))


def verify(
    before: files.Picture,
    sealed: files.Picture,
    path: Path,
    constraint: Constraint,
    lossless: bool,
    mask: Tensor | float = 1.0,
) -> tuple[dict[str, float], list[str]]:
    """Read a written file again: what it carries, and remarks. One that breaks its budget is removed."""
    written = files.read(path)
    measured, notes = measure(before, written, mask), list(before.notes)
    if not lossless:
        lost = measure(sealed, written)
        notes.append(f"lossy: saving changed the protected picture by up to {lost['linf']}/255 ({lost['psnr']:.1f} dB)")
    elif not constraint.is_satisfied(tensor(written.pixels) - tensor(before.pixels), tensor(before.pixels), mask):
        path.unlink()
        raise PictureError(f"{shown(path)} broke its budget when it was saved ({measured}): please report this")
    return measured, notes


def measure(before: files.Picture, after: files.Picture, mask: Tensor | float = 1.0) -> dict[str, float]:
    """The change from one picture to another: L-inf and root mean square in 1/255, PSNR in dB, share of pixels.

    `local` is the largest mean change around a pixel, in 1/255, which shows as a stain. Where some pixels may not
    change (`mask` ``[1 h w]`` is 0), `psnr_inside` is the PSNR of the others.
    """
    change = after.pixels.astype(np.int16) - before.pixels.astype(np.int16)
    rms = float(np.sqrt(np.square(change, dtype=np.int32).mean(dtype=np.float64)))
    result = {
        "linf": int(np.abs(change).max()),
        "rms": round(rms, 4),
        "psnr": round(20 * float(np.log10(255 / rms)), 3) if rms else float("inf"),
        "changed": round(float((change != 0).any(2).mean()), 4),
        "local": round(largest(tensor(change)[None]), 2),
    }
    share = float((torch.as_tensor(mask) > 0).float().mean())
    if 0 < share < 1 and rms:
        result["psnr_inside"] = round(result["psnr"] + 10 * float(np.log10(share)), 3)
    return result
