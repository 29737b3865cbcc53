"""Target pictures of the targeted protections, drawn here so that nothing foreign is shipped."""

from __future__ import annotations

import torch
from torch import Tensor

from unlearnable.errors import UsageError

PERIOD = 32  # px; small enough to repeat inside any crop that an attacker trains on


def picture(name: str, height: int, width: int) -> Tensor:
    """The target ``[1 3 height width]``: ``pattern`` (high contrast, repeating, for Mist and ACE) or ``grey``."""
    if name == "grey":
        return torch.full([1, 3, height, width], 0.5)
    if name != "pattern":
        raise UsageError(f"unknown target {name!r}: use 'pattern' or 'grey', or pass a picture")
    rows, cols = torch.arange(height).view(-1, 1), torch.arange(width).view(1, -1)
    ring = ((rows % PERIOD - PERIOD / 2) ** 2 + (cols % PERIOD - PERIOD / 2) ** 2).sqrt()
    ink = ((ring // 4) % 2 == 0).float()
    return ink.expand(1, 3, height, width).contiguous()
