"""The worst of several noisy cases, chosen without looking at the noise that is then reported."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Halves that choose for one another are correlated: by e^2 / (k - 1) for k cells, with e the mean of the least of k
# standard normals, which is at most 0.36. Intervals of what was chosen are as much wider.
CHOSEN = math.sqrt(1.36)


def chosen(part: Tensor, whole: Tensor) -> Tensor:
    """Which column of `part` / `whole` ``[n, cases]`` is the least, for each row; ``[n]``.

    Which is the worst for one half of the rows is decided by the other half, whose noise is not theirs: the least of
    noisy cells themselves would lie below zero where there is no protection. A row that lacks a cell (NaN in `whole`)
    takes the next.
    """
    found = torch.zeros(len(part), dtype=torch.long)
    halves = torch.arange(len(part)) % 2
    for half in (0, 1):
        others = halves != half
        upper, lower = part[others].nansum(0), whole[others].nansum(0)
        rates = torch.where(lower > 0, upper / lower, math.inf)
        mine = torch.where(whole[~others].isnan(), math.inf, rates.nan_to_num(posinf=1e300))
        if len(mine):
            found[~others] = mine.argmin(1)
    return found


def widening(cases: int) -> float:
    """By how much the interval of a chosen case is wider: not at all where there was nothing to choose from."""
    return CHOSEN if cases > 1 else 1.0
