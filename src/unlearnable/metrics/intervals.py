"""Confidence intervals whose coverage holds for few rows: Student's t, and Fieller's for ratios of means.

A percentile bootstrap of few rows is too narrow. `python benchmarks/coverage.py` prints the coverage of these by
simulation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

Interval = tuple[float, float]
NONE: Interval = (math.nan, math.nan)


def quantile(freedom: float, level: float = 0.95) -> float:
    """Of Student's t: half the width of the middle `level`, for any degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))


def of_mean(values: Tensor, level: float = 0.95, widen: float = 1.0) -> Interval:
    """Student's interval of the mean of rows ``[n]``; (nan, nan) for fewer than two.

    With an infinite row (an unchanged picture's PSNR) the mean is infinite: from the least row to infinity.
    """
    values = values.double().flatten()
    if len(values) < 2 or values.isnan().any():
        return NONE
    if values.isinf().any():
        return float(values.min()), float(values.max())
    half = widen * quantile(len(values) - 1, level) * float(values.std()) / math.sqrt(len(values))
    middle = float(values.mean())
    return middle - half, middle + half


def of_ratio(numerator: Tensor, denominator: Tensor, level: float = 0.95, widen: float = 1.0) -> Interval:
    """Fieller's interval of mean(part) / mean(whole), both ``[n]`` or, crossed, ``[seeds, n]``.

    Exact for normal rows (Fieller 1954). Of crossed rows each seed sees each photograph: the variances of the seeds'
    means and of the photographs' means are added, which counts the noise of single cells twice and is on the safe side;
    degrees of freedom after Satterthwaite (1946). `widen` multiplies the half width. (nan, nan) for one row, and where
    `denominator` cannot be told from zero.
    """
    numerator, denominator = (torch.atleast_2d(x.double()) for x in (numerator, denominator))
    if numerator.numel() < 2 or not (numerator.isfinite().all() and denominator.isfinite().all()):
        return NONE
    upper, lower = float(numerator.mean()), float(denominator.mean())
    if not lower:
        return NONE
    pp, pw, ww = (
        sum(covariances(a, b))
        for a, b in ((numerator, numerator), (numerator, denominator), (denominator, denominator))
    )
    square = (widen * quantile(degrees(numerator - upper / lower * denominator), level)) ** 2
    a, b, c = lower**2 - square * ww, upper * lower - square * pw, upper**2 - square * pp
    if a <= 0:
        return NONE
    root = math.sqrt(max(0.0, b * b - a * c))
    return (b - root) / a, (b + root) / a


def of_difference(
    first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], level: float = 0.95, widen: float = 1.0
) -> Interval:
    """Interval of the difference of two ratios of means of the same subjects, ``[n]`` each (part, whole).

    Linearised, so that what both share by subject cancels; Student's t. (nan, nan) for fewer than two subjects.
    """
    (p, w), (q, v) = ((a.double(), b.double()) for a, b in (first, second))
    if len(p) < 2:
        return NONE
    gap = p.mean() / w.mean() - q.mean() / v.mean()
    rows = (p - p.mean() / w.mean() * w) / w.mean() - (q - q.mean() / v.mean() * v) / v.mean()
    low, high = of_mean(rows, level, widen)
    return float(gap) + low, float(gap) + high


def covariances(a: Tensor, b: Tensor) -> list[float]:
    """Of the means of ``[seeds, n]`` over seeds and over photographs; an axis of one has none."""
    parts = []
    for axis in (0, 1):
        count = a.shape[axis]
        if count > 1:
            x, y = a.mean(1 - axis), b.mean(1 - axis)
            parts.append(float(((x - x.mean()) * (y - y.mean())).sum() / (count - 1) / count))
    return parts


def degrees(residuals: Tensor) -> float:
    """Satterthwaite's degrees of freedom of the mean of crossed rows ``[seeds, n]``."""
    counts = [count for count in residuals.shape if count > 1]
    parts = covariances(residuals, residuals)
    total = sum(parts)
    if not total:
        return float(min(counts) - 1)
    return total**2 / sum(part**2 / (count - 1) for part, count in zip(parts, counts))
