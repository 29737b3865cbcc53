"""ComfyUI's batches of pictures as files, and back: the verbs of unlearnable work on files.

An IMAGE is ``[b h w 3]`` (or 4 channels, the last of them opacity) in [0, 1], a MASK ``[b h w]``. Files have 8 bits a
sample, as those that ComfyUI saves; what comes back lies on that grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from unlearnable.images import files
from unlearnable.jobs.result import Result


@contextmanager
def workshop() -> Iterator[Path]:
    """A folder for the files of one node, gone afterwards; gradients work in it, which ComfyUI has turned off."""
    with TemporaryDirectory(prefix="unlearnable-") as name, torch.inference_mode(False), torch.enable_grad():
        yield Path(name)


def name(number: int) -> str:
    return f"{number:06}.png"


def levels(values: Tensor) -> np.ndarray:
    """[0, 1] as uint8."""
    rounded = (values.detach().cpu().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(rounded.numpy())


def write(images: Tensor, folder: Path) -> Path:
    """A PNG for each picture ``[b h w c]``; the folder."""
    for number, samples in enumerate(map(levels, images)):
        alpha = np.ascontiguousarray(samples[..., 3]) if samples.shape[-1] == 4 else None
        files.write(files.Picture(np.ascontiguousarray(samples[..., :3]), alpha=alpha), folder / name(number))
    return folder


def write_masks(masks: Tensor, count: int, folder: Path) -> Path:
    """A grey PNG for each of `count` pictures, from as many masks ``[b h w]`` or from one for all; the folder."""
    if len(masks) not in (1, count):
        raise ValueError(f"{len(masks)} masks for {count} pictures: give one for each, or one for all")
    for number, light in enumerate(map(levels, masks.expand(count, *masks.shape[1:]))):
        files.write(files.Picture(np.repeat(light[..., None], 3, 2), grey=True), folder / name(number))
    return folder


def read(results: Iterable[Result]) -> tuple[Tensor, list[Result]]:
    """The pictures of a run ``[b h w c]``, in order, and its results. Raises RuntimeError with a failure's sentence."""
    found = sorted(results, key=lambda result: str(result.source))
    for result in found:
        if result.output is None:
            raise RuntimeError(result.message)
    pictures = [files.read(str(result.output)) for result in found]
    samples = [p.pixels if p.alpha is None else np.dstack([p.pixels, p.alpha]) for p in pictures]
    return torch.from_numpy(np.stack(samples)).float() / 255, found
