"""Set metrics against torchmetrics, scipy, a closed form and loops over every pair."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from unlearnable.errors import UsageError
from unlearnable.metrics import distribution as d

ALL = (d.fid, d.kid, d.precision, d.recall, d.density, d.coverage)


def rows(count, dim=6, seed=0, shift=0.0, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(dim, dim, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    return shift + scale * torch.randn(count, dim, generator=generator, dtype=torch.float64) @ mix


@pytest.fixture(scope="module")
def sets():
    return rows(70, seed=1, shift=0.7, scale=0.8), rows(90, seed=2)


def exact(mean, covariance, count=50, seed=0):
    """Rows whose mean and covariance are exactly these."""
    x = np.random.default_rng(seed).normal(size=(count, len(mean)))
    x = x - x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return torch.from_numpy(x @ np.linalg.cholesky(covariance).T + mean)


def test_fid_of_gaussians_in_closed_form():
    a, b = (
        exact(np.array([1.0, 2, 3]), np.diag([1.0, 4, 9])),
        exact(np.array([0.0, 2, 5]), np.diag([4.0, 4, 1]), seed=1),
    )
    # commuting covariances: squared distance of means, and of standard deviations
    assert d.fid(a, b) == pytest.approx((1 + 0 + 4) + (1 + 0 + 4), rel=1e-9)
    assert d.fid(a, a) == pytest.approx(0, abs=1e-9)


def test_fid_is_the_published_formula_with_scipys_matrix_root(sets):
    a, b = (part.numpy() for part in sets)
    ca, cb = np.cov(a.T), np.cov(b.T)
    root = scipy.linalg.sqrtm(ca @ cb).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * root)
    assert d.fid(*sets) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("counts", [(5, 70), (70, 5), (4, 5), (2, 2)])
def test_fid_with_fewer_pictures_than_features_have_numbers(counts):
    a, b = rows(counts[0], 8, 3, 0.5), rows(counts[1], 8, 4)
    ca, cb = (np.cov(part.numpy().T) for part in (a, b))
    values, vectors = np.linalg.eigh(ca)
    root = vectors @ np.diag(np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ cb @ root).clip(0)).sum()
    expected = float(((a.mean(0) - b.mean(0)) ** 2).sum()) + np.trace(ca) + np.trace(cb) - 2 * cross
    assert d.fid(a, b) == pytest.approx(expected, rel=1e-6)


class Identity(torch.nn.Module):
    """Lets torchmetrics take features for pictures."""

    num_features = 6

    def forward(self, x):
        return x.flatten(1).double()


def torchmetrics_says(metric, a, b):
    metric.set_dtype(torch.float64)
    for part, real in ((b, True), (a, False)):
        metric.update(part[:, :, None, None], real=real)
    return metric.compute()


def test_fid_is_that_of_torchmetrics(sets):
    shape = {"input_img_size": (6, 1, 1)}
    expected = torchmetrics_says(FrechetInceptionDistance(Identity(), **shape), *sets)
    assert d.fid(*sets) == pytest.approx(float(expected), rel=1e-6)


def test_kid_is_that_of_torchmetrics(sets):
    a, b = sets[0], sets[1][:70]
    expected, _ = torchmetrics_says(KernelInceptionDistance(Identity(), subsets=1, subset_size=70), a, b)
    assert d.kid(a, b) == pytest.approx(float(expected), rel=1e-6)


def test_kid_is_the_unbiased_sum_over_pairs(sets):
    a, b = (part[:12].numpy() for part in sets)

    def k(x, y):
        return (x @ y / len(x) + 1) ** 3

    def within(x):
        n = len(x)
        return sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))

    expected = within(a) + within(b) - 2 * np.mean([k(x, y) for x in a for y in b])
    assert d.kid(torch.from_numpy(a), torch.from_numpy(b)) == pytest.approx(expected, rel=1e-9)


def test_kid_of_one_distribution_is_zero_on_average():
    found = [d.kid(rows(20, seed=i), rows(20, seed=100 + i)) for i in range(60)]
    assert abs(np.mean(found)) < 3 * np.std(found) / 60**0.5 and min(found) < 0


def brute(points, centres, k):
    """For each point and centre: is the point no further than the centre's k-th nearest other centre?"""
    found = np.zeros((len(points), len(centres)), bool)
    for j, centre in enumerate(centres):
        others = sorted(np.linalg.norm(centre - other) for i, other in enumerate(centres) if i != j)
        for i, point in enumerate(points):
            found[i, j] = np.linalg.norm(point - centre) <= others[k - 1]
    return found


def test_neighbourhoods_by_loops(sets):
    a, b = (part[:25].numpy() for part in sets)
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    assert d.precision(x, y) == np.mean([row.any() for row in brute(a, b, 3)])
    assert d.recall(x, y) == np.mean([row.any() for row in brute(b, a, 3)])
    inside = brute(a, b, 5)
    assert d.density(x, y) == pytest.approx(sum(row.sum() for row in inside) / (5 * 25))
    assert d.coverage(x, y) == np.mean([inside[:, j].any() for j in range(25)])
    assert 0 < d.precision(x, y) < 1 and 0 < d.recall(x, y) < 1


def test_equal_and_distant_sets(sets):
    a, b = sets[1], sets[1].clone()
    assert [metric(a, b) for metric in (d.precision, d.recall, d.coverage)] == [1, 1, 1]
    assert d.fid(a, b) == pytest.approx(0, abs=1e-9)
    assert [metric(a + 1e3, b) for metric in (d.precision, d.recall, d.density, d.coverage)] == [0, 0, 0, 0]
    assert d.fid(a + 1e3, b) == pytest.approx(6e6, rel=1e-6)


def test_one_mode_dropped_shows_in_recall_not_in_precision():
    real = torch.cat([rows(40, seed=1), rows(40, seed=2, shift=60)])
    half = rows(40, seed=3)
    assert d.precision(half, real) > 0.8 > 0.6 > d.recall(half, real)
    assert d.coverage(half, real) < 0.6


@pytest.mark.parametrize("function", ALL)
def test_bad_sets_are_one_sentence(function):
    with pytest.raises(UsageError, match="pictures or more, but there are 1 and 1"):
        function(rows(1), rows(1))
    with pytest.raises(UsageError, match=r"\[9, 6\] and \[9, 5\]"):
        function(rows(9), rows(9, 5))
    with pytest.raises(UsageError, match="not finite"):
        function(rows(9), torch.full((9, 6), torch.nan))
