"""Intervals against scipy, a slow search by definition, and simulation: 95 % ones hold the truth in 93 % or more."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from unlearnable.bench.sums import least, ratio
from unlearnable.metrics.intervals import of_difference, of_mean, of_ratio
from unlearnable.metrics.worst import widening

ROUNDS = 400
LEAST = 0.95 - 3 * math.sqrt(0.95 * 0.05 / ROUNDS)  # three standard errors of a simulation below what was promised


def rows(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("count", [2, 5, 40])
def test_a_mean_has_students_interval(count):
    values = rows(count)
    want = stats.t.interval(0.9, count - 1, loc=values.mean().item(), scale=stats.sem(values.numpy()))
    assert of_mean(values, 0.9) == pytest.approx(want)


def test_fieller_by_a_slow_search():
    """The values at which the residuals' mean is not told from zero by a t test, on a fine grid."""
    part, whole = 0.3 + 0.2 * rows(7), 1 + 0.2 * rows(7, seed=1)
    grid = np.linspace(-1, 2, 30001)
    residuals = part.numpy() - grid[:, None] * whole.numpy()
    kept = grid[stats.ttest_1samp(residuals, 0, axis=1).pvalue >= 0.05]
    assert of_ratio(part, whole) == pytest.approx((min(kept), max(kept)), abs=2e-4)


def test_a_ratio_to_nothing_has_no_interval():
    assert all(map(math.isnan, of_ratio(rows(5), 0.1 * rows(5, seed=1))))
    assert all(map(math.isnan, of_ratio(torch.ones(1), torch.ones(1))))


def test_a_difference_of_rates_of_one_gain_is_a_paired_t_test():
    first, second, gain = 0.5 + 0.1 * rows(6), 0.2 + 0.1 * rows(6, seed=1), torch.ones(6, dtype=torch.float64)
    low, high = of_difference((first, gain), (second, gain))
    want = stats.ttest_rel(first.numpy(), second.numpy()).confidence_interval(0.95)
    assert (low, high) == pytest.approx((want.low, want.high))


def coverage(draw, truth):
    """Of the intervals that are given: a ratio to what is not told from nothing has none."""
    found = [(low, high) for low, high in map(draw, range(ROUNDS)) if not math.isnan(low)]
    assert len(found) > ROUNDS / 2
    return sum(low <= truth <= high for low, high in found) / len(found)


@pytest.mark.parametrize("count", [2, 3, 4, 8])
def test_coverage_of_means_and_ratios(count):
    def one(seed):
        return of_mean(rows(count, seed=seed))

    def quotient(seed):
        noise = rows(2, count, seed=seed)
        return of_ratio(0.3 + 0.2 * noise[0], 1 + 0.1 * noise[1])

    assert coverage(one, 0.0) > LEAST
    assert coverage(quotient, 0.3) > LEAST


@pytest.mark.parametrize("seeds, count", [(2, 2), (3, 4), (3, 8)])
def test_coverage_where_seeds_and_photographs_are_crossed(seeds, count):
    def crossed(seed):
        noise = 0.1 * rows(seeds, count, seed=seed) + 0.1 * rows(1, count, seed=seed + 10**6)
        noise = noise + 0.05 * rows(seeds, 1, seed=seed + 2 * 10**6)
        return of_ratio(0.3 + noise, torch.ones(seeds, count))

    assert coverage(crossed, 0.3) > LEAST


@pytest.mark.parametrize("truth", [0.0, 0.3])
@pytest.mark.parametrize("count", [4, 8])
def test_the_worst_of_seven_noisy_cells_is_unbiased(truth, count):
    """The least of each subject's own cells would be 1.35 standard deviations too low."""
    found = []
    for seed in range(ROUNDS):
        gain = 0.5 + torch.rand(count, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        part = truth * gain + 0.2 * rows(count, 7, seed=seed)
        found.append(ratio(*least(part, gain.expand(-1, 7)), widen=widening(7)))
    error = 0.2 / math.sqrt(count * ROUNDS) * 1.2
    assert sum(e.value for e in found) / ROUNDS == pytest.approx(truth, abs=4 * error)
    assert 4 * error < 0.1 * 1.35 * 0.2, "an own least would be seen"
    assert sum(e.low <= truth <= e.high for e in found) / ROUNDS > LEAST


def test_the_worst_case_is_found_where_there_is_one():
    gain = torch.ones(6, 3, dtype=torch.float64)
    part = torch.tensor([0.5, 0.1, 0.4]) * gain + 0.02 * rows(6, 3)
    assert torch.equal(least(part, gain)[0], part[:, 1])
    part[2, 1] = gain[2, 1] = math.nan  # lacks that cell, so takes the next
    assert least(part, gain)[0][2] == part[2, 2]
