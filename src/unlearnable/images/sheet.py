"""Sheets that show rows of pictures on one page."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnable.images import files

GAP = 4  # px of white


def levels(image: Tensor) -> files.Picture:
    """A tensor ``[3 h w]`` in [0, 1] as a picture, rounded to the 8-bit grid."""
    pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous()
    return files.Picture(pixels.cpu().numpy())


def write(rows: list[Tensor], path: Path) -> None:
    """Write a PNG on white whose rows are ``[n 3 s s]`` each; rows may differ in length."""
    most = max(len(row) for row in rows)
    page = []
    for row in rows:
        padded = F.pad(row.cpu().float(), (0, GAP, 0, GAP), value=1.0)
        blank = torch.ones(most - len(row), *padded.shape[1:])
        page.append(torch.cat([*padded, *blank], -1))
    files.write(levels(torch.cat(page, -2)), path)
