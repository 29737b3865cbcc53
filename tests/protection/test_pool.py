"""MetaCloak's pool: which state is where, against trainings of the same length; and its chain of transforms."""

import random

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from tiny import PROMPT, fitted, loss_of, pictures
from unlearnable.errors import UsageError
from unlearnable.models.finetune.training import FineTune, Trainer
from unlearnable.protection.pool import Pool
from unlearnable.protection.transforms import blur, cloaked, crop, mirror, resize
from unlearnable.rng import name_seed


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.denoiser.parameters(), other.denoiser.parameters()))


def test_states_are_those_of_one_training_and_learn_a_little():
    model, x = fitted("sd1"), 1 - pictures(4, seed=21)
    noisy = (x + 0.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    fit = FineTune(2, lr=1e-3)
    turn = Pool(length=20, interval=10, visits=2, fit=fit).begin(model, PROMPT, 7)
    with torch.no_grad():
        c = model.condition([PROMPT])
    reference = Trainer(model.copy(), fit, name_seed(7, "pool", 0))
    for state in range(3):
        if state:
            reference.run(x, c, 10)
        first = turn.before(x, noisy)[0].model
        assert same(first, reference.model), f"state {state} is the run after {10 * state} steps"
        learnt = Trainer(reference.model.copy(), fit, name_seed(7, "state", state)).run(noisy, c, 2)
        turn.after(x, noisy)
        assert turn.before(x, noisy)[0].model is first and same(first, learnt)
        turn.after(x, noisy)
    assert loss_of(reference.model, x) < 0.98 * loss_of(model, x)
    again = turn.before(x, noisy)[0].model
    assert same(again, model) and again is not model, "and begins again, from the model as it was loaded"


def test_the_chain_of_transforms_by_hand():
    """Blur of 7 px, resize, crop, mirror in a row; the blur against scipy's, and a mirror is its own inverse."""
    x = pictures(2, seed=1)
    expected = x
    rng = random.Random(4)
    for part in (blur, resize, crop, mirror):
        expected = part(expected, rng)
    assert torch.equal(cloaked(x, random.Random(4)), expected) and expected.shape == x.shape

    sigma = random.Random(2).uniform(0.4, 1.2)
    weights = np.exp(-(np.arange(-3, 4) ** 2) / (2 * sigma**2))
    soft = x.double().numpy()
    for axis in (2, 3):
        soft = correlate1d(soft, weights / weights.sum(), axis, mode="nearest")
    torch.testing.assert_close(blur(x, random.Random(2)).double(), torch.from_numpy(soft), atol=1e-5, rtol=0)
    kinds = {torch.equal(mirror(x, random.Random(i)), x.flip(-1)) for i in range(20)}
    assert kinds == {True, False} and all(
        torch.equal(mirror(mirror(x, random.Random(i)), random.Random(i)), x) for i in range(20)
    )


@pytest.mark.parametrize("bad", [{"interval": 0}, {"visits": 0}, {"length": -1}])
def test_bad_pools_are_one_sentence(bad):
    with pytest.raises(UsageError, match="a pool of"):
        Pool(**bad)
