"""How far finished files move the latents of real models, compared with random noise of the same size.

This check takes a minute and no training: a model that fine-tunes on a picture sees it only through its encoder. A file
that does not move the latents further than noise cannot keep a model from learning the picture; one that does may fail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnable.errors import PictureError, UsageError, shown
from unlearnable.evaluation.control import control
from unlearnable.evaluation.rates import Estimate
from unlearnable.images import files
from unlearnable.images.tensors import tensor
from unlearnable.metrics.intervals import of_ratio
from unlearnable.metrics.pairing import pair
from unlearnable.purification.chain import parse

if TYPE_CHECKING:
    from unlearnable.models.encoders.load import Encoder

SIDE = 512  # px of the shorter side: what trainers scale pictures to
CHAINS = ("none", "resize:0.5+jpeg:75")
Progress = Callable[[float, int], None]


@dataclass(frozen=True)
class Shift:
    """Root mean square shifts of one encoder's latents behind one countermeasure, a value for each picture.

    Units are each channel's standard deviation over the clean pictures; `ratio` is protected over random noise.
    """

    encoder: str
    source: str
    real: bool
    purify: str
    protected: tuple[float, ...]
    noise: tuple[float, ...]
    ratio: Estimate


@dataclass(frozen=True)
class Report:
    """All shifts of some pairs; `failed` has a sentence for each pair that could not be compared."""

    names: tuple[str, ...]
    shifts: tuple[Shift, ...]
    failed: tuple[str, ...]


def summary(shifts: Sequence[Shift]) -> str:
    """One sentence: how far each encoder's latents moved, in multiples of what random noise of the same size does."""
    parts = []
    for name in dict.fromkeys(shift.encoder for shift in shifts):
        own_shifts = [shift for shift in shifts if shift.encoder == name]
        kind = "" if own_shifts[0].real else " (a stand-in)"
        parts.append(f"{name}{kind} {', '.join(map(moved, own_shifts))}")
    return f"What models see moved, in multiples of what random noise of the same size does: {'; '.join(parts)}."


def moved(shift: Shift) -> str:
    value = f"{shift.ratio.value:.1f}" if math.isfinite(shift.ratio.value) else "not at all"
    return value if shift.purify == CHAINS[0] else f"{value} behind {shift.purify}"


def compare(
    clean: Path, protected: Path, encoders: Sequence[Encoder], *, purify: Sequence[str] = CHAINS, side: int = SIDE,
    recursive: bool = False, seed: int = 0, progress: Progress | None = None,
) -> Report:  # fmt: skip
    """`compare_pairs` for two folders (or two files) whose pictures pair by name; UsageError where none does."""
    pairs = pair(clean, protected, recursive).pairs
    if not pairs:
        raise UsageError(f"no picture of {shown(clean)} has its name in {shown(protected)}: give the protected twins")
    return compare_pairs(pairs, encoders, purify=purify, side=side, seed=seed, progress=progress)


@torch.no_grad()
def compare_pairs(
    pairs: Mapping[str, tuple[Path, Path]], encoders: Sequence[Encoder], *, purify: Sequence[str] = CHAINS,
    side: int = SIDE, seed: int = 0, progress: Progress | None = None,
) -> Report:  # fmt: skip
    """Compare pictures and their protected twins, by name.

    Pictures are scaled so that the shorter side is at most `side` px, as trainers do. Raises PictureError where nothing
    can be compared, and UsageError for a countermeasure that needs a model.
    """
    chains = {text: parse(text) for text in dict.fromkeys(purify)}
    for text, chain in chains.items():
        if chain.needs_model:
            raise UsageError(f"countermeasure {text!r} needs a model: leave it to `unlearnable audit`")
    moved: dict[tuple[str, str], tuple[list[Tensor], list[Tensor]]] = {}
    moved |= {(encoder.name, text): ([], []) for encoder in encoders for text in chains}
    spreads: dict[tuple[str, str], list[Tensor]] = {key: [] for key in moved}
    names, failed = [], []
    for done, (name, (first, second)) in enumerate(pairs.items()):
        try:
            x, y, noisy = seen(first, second, side, max(e.multiple for e in encoders), seed)
        except PictureError as error:
            failed.append(str(error))
            continue
        names.append(name)
        for text, chain in chains.items():
            pictures = [chain(view, seed=seed) for view in (x, y, noisy)]
            for encoder in encoders:
                z, *others = (encoder(picture) for picture in pictures)
                spreads[encoder.name, text].append(torch.stack([z.mean((0, 2, 3)), z.square().mean((0, 2, 3))]))
                for squares, other in zip(moved[encoder.name, text], others):
                    squares.append((other - z).square().mean((0, 2, 3)))
        if progress:
            progress(done + 1, len(pairs))
    if not names:
        raise PictureError(f"no pair of pictures can be compared: {failed[0]}")
    shifts = []
    for encoder in encoders:
        for text in chains:
            mean, square = torch.stack(spreads[encoder.name, text]).mean(0)
            variance = (square - mean.square()).clamp_min(1e-12)
            protected, noise = (
                (torch.stack(squares) / variance).mean(1).sqrt() for squares in moved[encoder.name, text]
            )
            ratio = Estimate(float(protected.mean() / noise.mean()), *of_ratio(protected, noise))
            source = encoder.name, encoder.source, encoder.real
            shifts.append(Shift(*source, text, tuple(protected.tolist()), tuple(noise.tolist()), ratio))
    return Report(tuple(names), tuple(shifts), tuple(failed))


def seen(clean: Path, protected: Path, side: int, multiple: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """A picture, its twin, and the picture with random noise of the twin's size, ``[1 3 h w]`` as a model sees them."""
    first, twin = files.read(clean), files.read(protected)
    x, y = first.pixels, twin.pixels
    if x.shape != y.shape:
        sizes = " and ".join(f"{shape[1]} x {shape[0]}" for shape in (x.shape, y.shape))
        raise PictureError(f"{shown(protected)} and its clean twin are {sizes} px: give files of one size")
    noisy = control(x, y, side, files.content_hash(first), seed)
    scale = min(1.0, side / min(x.shape[:2]))
    height, width = (max(multiple, round(length * scale) // multiple * multiple) for length in x.shape[:2])

    def view(pixels: Tensor) -> Tensor:
        if scale < 1:
            size = [max(1, round(length * scale)) for length in pixels.shape[-2:]]
            pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True, align_corners=False)
        cut = pixels[..., :height, :width]
        return F.pad(cut, (0, width - cut.shape[-1], 0, height - cut.shape[-2]), mode="replicate")

    plain, moved, random = (view(tensor(pixels)[None] / 255) for pixels in (x, y, noisy))
    return plain, moved, random
