"""The random control: the protection's own change with its direction taken away, and nothing else."""

import numpy as np
import pytest

from unlearnable.evaluation.control import control
from unlearnable.evaluation.material import small
from unlearnable.images import files


def pair(height: int = 96, width: int = 130, low: int = 20, high: int = 230):
    """A picture, and a twin that moved by up to 8 levels, more in one corner than elsewhere."""
    rng = np.random.default_rng(0)
    clean = rng.integers(low, high, (height, width, 3))
    delta = rng.integers(-8, 9, clean.shape)
    delta[:, 60:] //= 4
    return clean.astype(np.uint8), np.clip(clean + delta, 0, 255).astype(np.uint8)


def change(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    return after.astype(int) - before.astype(int)


@pytest.mark.parametrize("size", [32, 96, 512])
def test_every_sample_moves_by_as_much_and_half_of_them_the_other_way(size):
    clean, protected = pair()
    noisy = control(clean, protected, size, 0, "a")
    ours, theirs = change(noisy, clean), change(protected, clean)
    assert noisy.dtype == np.uint8 and (np.abs(ours) == np.abs(theirs)).all()
    moved = theirs != 0
    assert 0.4 < (ours == theirs)[moved].mean() < 0.6
    assert abs((ours * theirs).sum()) < 0.1 * (theirs**2).sum()  # no part of the direction is left


def test_what_would_leave_the_range_keeps_its_sign():
    clean, protected = pair(low=0, high=256)
    clean[:20], protected[:20] = 255, 250
    noisy = control(clean, protected, 512, 0)
    assert (noisy[:20] == 250).all()
    assert (np.abs(change(noisy, clean)) == np.abs(change(protected, clean))).all()


def test_grey_stays_grey_and_equal_stays_equal():
    clean, protected = pair()
    grey, protected_grey = (np.repeat(x[..., :1], 3, axis=2) for x in (clean, protected))
    noisy = control(grey, protected_grey, 32, 0)
    assert (noisy == noisy[..., :1]).all() and (noisy != grey).any()
    assert (control(clean, clean, 32, 0) == clean).all()


def test_draws_are_named():
    clean, protected = pair()
    first = control(clean, protected, 32, 0, "a")
    assert (first == control(clean, protected, 32, 0, "a")).all()
    assert (first != control(clean, protected, 32, 1, "a")).any()
    assert (first != control(clean, protected, 32, 0, "b")).any()


def test_it_is_as_large_where_the_attacker_sees_it():
    """A change that survives shrinking by 4: signs of single file pixels would lose it, the control does not."""
    rng = np.random.default_rng(1)
    clean = rng.integers(40, 200, (256, 256, 3)).astype(np.uint8)
    coarse = np.kron(rng.choice([-6, 6], (64, 64, 3)), np.ones((4, 4, 1), int))
    protected = (clean + coarse).astype(np.uint8)
    fine = (clean + rng.choice([-6, 6], clean.shape)).astype(np.uint8)

    def seen(pixels: np.ndarray) -> float:
        return float((small(files.Picture(pixels), 64) - small(files.Picture(clean), 64)).square().mean().sqrt())

    noisy = control(clean, protected, 64, 0)
    assert seen(noisy) == pytest.approx(seen(protected), rel=0.03)
    assert seen(fine) < 0.4 * seen(noisy)
