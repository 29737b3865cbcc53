"""How far one set of pictures is from another, over features ``[n d]`` and ``[m d]``: generated ones first, then real.

These figures depend on the network, and on how many pictures there are: compare runs of equal numbers over one network.
Over any network but Inception they are not the FID or KID of the literature, and are reported with the network's name.
Intervals come from `base.half_samples`.
"""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor

from unlearnable.errors import UsageError
from unlearnable.metrics.base import FEATURES, metric


@metric(FEATURES, higher_is_better=False, span=(0, inf))
def fid(features: Tensor, references: Tensor) -> float:
    """Frechet distance of two Gaussians fitted to the features (FID over Inception).

    Unit: squared feature units, 0 (equal) or more. Better: lower (closer to the real pictures). Needs: 2 pictures a
    side; well above as many as features have numbers before it means much, since it shrinks with their number.
    Source: Heusel et al. 2017, arXiv 1706.08500, equation 6; covariances over n - 1.
    """
    a, b = _sets("fid", features, references, 2)
    apart = (a.mean(0) - b.mean(0)).square().sum()
    a, b = _root(a), _root(b)
    # The eigenvalues of A'A B'B are the squared singular values of A B', so no matrix root is ever taken
    cross = torch.linalg.svdvals(a @ b.T).sum()
    return max(0.0, float(apart + a.square().sum() + b.square().sum() - 2 * cross))


@metric(FEATURES, higher_is_better=False)
def kid(features: Tensor, references: Tensor) -> float:
    """Kernel distance of two sets of features (KID over Inception), unbiased, so it may be below 0.

    Unit: none; 0 means the same distribution. Better: lower. Needs: 2 pictures a side.
    Source: Binkowski et al. 2018, arXiv 1801.01401, section 3: squared MMD with the kernel (x.y / d + 1)^3, over all
    pairs at once (the paper averages blocks of 1000 to save time; the expectation is the same).
    """
    a, b = _sets("kid", features, references, 2)
    within = sum(float(_kernel(x, x).fill_diagonal_(0).sum()) / (len(x) * (len(x) - 1)) for x in (a, b))
    return within - 2 * float(_kernel(a, b).mean())


@metric(FEATURES, higher_is_better=True, unit="share", span=(0, 1))
def precision(features: Tensor, references: Tensor, k: int = 3) -> float:
    """Share of generated pictures that lie among the real ones: fidelity.

    Unit: share from 0 to 1. Better: higher. Needs: more than k = 3 real pictures.
    Source: Kynkaanniemi et al. 2019, arXiv 1904.06991: within the distance from a real picture to its k-th neighbour.
    """
    a, b = _sets("precision", features, references, 1, k + 1)
    return float(_inside(a, b, k).any(1).double().mean())


@metric(FEATURES, higher_is_better=True, unit="share", span=(0, 1))
def recall(features: Tensor, references: Tensor, k: int = 3) -> float:
    """Share of real pictures that lie among the generated ones: diversity.

    Unit: share from 0 to 1. Better: higher. Needs: more than k = 3 generated pictures.
    Source: Kynkaanniemi et al. 2019, arXiv 1904.06991: precision with the sets exchanged.
    """
    a, b = _sets("recall", features, references, k + 1, 1)
    return float(_inside(b, a, k).any(1).double().mean())


@metric(FEATURES, higher_is_better=True, span=(0, inf))
def density(features: Tensor, references: Tensor, k: int = 5) -> float:
    """How many real pictures' neighbourhoods a generated one lies in, over k: precision that outliers do not inflate.

    Unit: none; about 1 for equal distributions, may be above. Better: higher. Needs: more than k = 5 real pictures.
    Source: Naeem et al. 2020, arXiv 2002.09797, equation 4.
    """
    a, b = _sets("density", features, references, 1, k + 1)
    return float(_inside(a, b, k).sum(1).double().mean()) / k


@metric(FEATURES, higher_is_better=True, unit="share", span=(0, 1))
def coverage(features: Tensor, references: Tensor, k: int = 5) -> float:
    """Share of real pictures with a generated one in their neighbourhood: diversity.

    Unit: share from 0 to 1. Better: higher. Needs: more than k = 5 real pictures.
    Source: Naeem et al. 2020, arXiv 2002.09797, equation 5.
    """
    a, b = _sets("coverage", features, references, 1, k + 1)
    return float(_inside(a, b, k).any(0).double().mean())


def _sets(name: str, features: Tensor, references: Tensor, least: int, least_real: int | None = None) -> list[Tensor]:
    """Both sets in double precision, or one sentence about their number, shape or values."""
    least_real = least_real or least
    if features.ndim != 2 or references.ndim != 2 or features.shape[1] != references.shape[1]:
        shapes = f"{list(features.shape)} and {list(references.shape)}"
        raise UsageError(f"{name} compares features [n d] and [m d], but their shapes are {shapes}")
    if len(features) < least or len(references) < least_real:
        counts = f"{len(features)} and {len(references)}"
        raise UsageError(f"{name} needs {least} and {least_real} pictures or more, but there are {counts}: add some")
    if not (features.isfinite().all() and references.isfinite().all()):
        raise UsageError(f"{name} was given features that are not finite: check the pictures they come from")
    return [features.double(), references.double()]


def _root(rows: Tensor) -> Tensor:
    """A matrix R with R'R the covariance of the rows; no larger than it need be."""
    centred = (rows - rows.mean(0)) / (len(rows) - 1) ** 0.5
    return torch.linalg.qr(centred, mode="r").R if len(rows) > rows.shape[1] else centred


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _distances(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _inside(points: Tensor, centres: Tensor, k: int) -> Tensor:
    """Whether each point lies in the ball around each centre that reaches its k-th neighbour, ``[points, centres]``."""
    radii = _distances(centres, centres).kthvalue(k + 1, dim=1).values  # the nearest one is the centre itself
    return _distances(points, centres) <= radii
