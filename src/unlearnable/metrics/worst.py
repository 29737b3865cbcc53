"""The worst of several noisy cases, chosen without looking at the noise that is then reported."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Halves that choose for one another are correlated: by e^2 / (k - 1) for k cells, with e the mean of the least of k
# standard normals, which is at most 0.36. Intervals of what was chosen are as much wider.
CHOSEN = math.sqrt(1.36)


def chosen(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The column of `numerator` / `denominator` ``[n, cases]`` with the least ratio, for each row; ``[n]``.

    One half of the rows decides for the other, whose noise is independent: the least of the noisy cells themselves
    would lie below zero where there is no protection. A row that lacks a cell (NaN in `denominator`) takes the next.
    """
    columns = torch.zeros(len(numerator), dtype=torch.long)
    halves = torch.arange(len(numerator)) % 2
    for half in (0, 1):
        others = halves != half
        upper, lower = numerator[others].nansum(0), denominator[others].nansum(0)
        rates = torch.where(lower > 0, upper / lower, math.inf)
        ratios = torch.where(denominator[~others].isnan(), math.inf, rates.nan_to_num(posinf=1e300))
        if len(ratios):
            columns[~others] = ratios.argmin(1)
    return columns


def widening(cases: int) -> float:
    """By how much the interval of a chosen case is wider: not at all where there was nothing to choose from."""
    return CHOSEN if cases > 1 else 1.0
