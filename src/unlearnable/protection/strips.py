"""Work on large pictures strip by strip: tensors of 100 MB and more are slow because the system maps them anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

LARGE = 2**20  # px, from which on it pays


def rows(height: int, width: int) -> Iterator[slice]:
    """The strips of a picture from top to bottom, each of about `LARGE` / 4 px; a picture that is not large is one."""
    side = height if height * width <= LARGE else max(32, LARGE // 4 // width)
    yield from (slice(top, min(top + side, height)) for top in range(0, height, side))


def by_strips(function: Callable[..., Tensor], *parts: Tensor, reach: int) -> Tensor:
    """``function(*parts)``, of the shape of the first part, where each row depends on `reach` rows around it.

    Parts are ``[... h w]``. Where a gradient is needed the function is called once, on the whole.
    """
    height, width = parts[0].shape[-2:]
    strips = list(rows(height, width))
    if len(strips) == 1 or (torch.is_grad_enabled() and any(part.requires_grad for part in parts)):
        return function(*parts)
    result = torch.empty_like(parts[0])
    for strip in strips:
        above = min(reach, strip.start)
        seen = slice(strip.start - above, strip.stop + reach)
        made = function(*(part[..., seen, :] for part in parts))
        result[..., strip, :] = made[..., above : above + strip.stop - strip.start, :]
    return result
