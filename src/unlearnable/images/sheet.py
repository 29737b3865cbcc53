"""Rows of pictures on one page, for people to look at."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnable.images import files

GAP = 4  # px of white


def levels(image: Tensor) -> files.Picture:
    """A picture ``[3 h w]`` in [0, 1] on the 8-bit grid."""
    pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous()
    return files.Picture(pixels.cpu().numpy())


def write(rows: list[Tensor], path: Path) -> None:
    """Write a PNG whose rows are ``[n 3 s s]`` each, on white; short rows end early."""
    most = max(len(row) for row in rows)
    page = []
    for row in rows:
        padded = F.pad(row.cpu().float(), (0, GAP, 0, GAP), value=1.0)
        blank = torch.ones(most - len(row), *padded.shape[1:])
        page.append(torch.cat([*padded, *blank], -1))
    files.write(levels(torch.cat(page, -2)), path)
