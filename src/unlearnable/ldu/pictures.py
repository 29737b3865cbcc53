"""Many pictures with captions, as training sees them: squares of the model's size, kept as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from unlearnable.errors import PictureError
from unlearnable.models.base import Model
from unlearnable.rng import image_keys


@dataclass
class Pictures:
    """`levels` uint8 ``[n 3 s s]``; a caption and a group (the folder it lay in) for each; what could not be read."""

    levels: Tensor
    captions: list[str]
    groups: list[str]
    failed: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.levels)

    def images(self, rows: Tensor | slice, device: torch.device) -> Tensor:
        """Pictures ``[m 3 s s]`` in [0, 1]."""
        return self.levels[rows].to(device, torch.float32) / 255

    @torch.no_grad()
    def latents(self, model: Model, batch: int = 16) -> Tensor:
        """All pictures' latents, ``[n c h w]``, in main memory."""
        parts = range(0, len(self), batch)
        return torch.cat([model.encode(self.images(slice(i, i + batch), model.device)).cpu() for i in parts])

    def keys(self) -> list[str]:
        """Content keys."""
        return [image_keys(level[None].float() / 255)[0] for level in self.levels]


def load(inputs: Sequence[str | Path], side: int, prompt: str, recursive: bool = False) -> Pictures:
    """The pictures of files and folders, scaled and centre-cropped to `side` px.

    A caption is the text file of the picture's name (``x.txt`` beside ``x.jpg``), as trainers of diffusion models have
    it, or else `prompt`. A picture that cannot be read is named in `failed`; PictureError if none can.
    """
    from unlearnable.images import files
    from unlearnable.images.captions import caption
    from unlearnable.images.square import square
    from unlearnable.images.tensors import tensor, unreadable

    levels, captions, groups, failed = [], [], [], []
    for source, relative in files.sources([Path(i) for i in inputs], recursive):
        try:
            x = square(tensor(files.read(source).pixels)[None] / 255, side)
            captions.append(caption(source) or prompt)
        except PictureError as error:
            failed.append(str(error))
            continue
        levels.append((x * 255).round().to(torch.uint8))
        groups.append(relative.parent.as_posix())
    if not levels:
        raise unreadable(failed)
    return Pictures(torch.cat(levels), captions, groups, failed)
