"""Statistics of natural pictures: fits against scipy's distributions, filters against scipy's, effects of damage."""

import io

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch
import torch.nn.functional as F
from natural import natural
from PIL import Image

from unlearnable.errors import UsageError
from unlearnable.metrics import quality


def jpeg(x, q):
    data = io.BytesIO()
    Image.fromarray((x[0].permute(1, 2, 0).numpy() * 255).round().astype("uint8")).save(data, "JPEG", quality=q)
    return torch.from_numpy(np.asarray(Image.open(data)).copy()).permute(2, 0, 1)[None].float() / 255


@pytest.fixture(scope="module")
def corpus():
    return [quality.patches(natural(seed)) for seed in range(8)]


@pytest.mark.parametrize("shape", [0.7, 1.0, 2.0, 4.0])
def test_symmetric_fit_finds_the_shape_of_scipys_samples(shape):
    samples = scipy.stats.gennorm.rvs(shape, size=(1, 200_000), random_state=0)
    found, variance = quality._symmetric(torch.from_numpy(samples))
    assert float(found) == pytest.approx(shape, rel=0.03) and float(variance) == pytest.approx(samples.var(), rel=0.01)


def test_asymmetric_fit_finds_both_sides():
    rng = np.random.default_rng(0)
    size, left, right, shape = 400_000, 1.0, 2.0, 1.5
    sides = rng.random(size) < right / (left + right)  # mass of a side is as its width
    draws = np.abs(scipy.stats.gennorm.rvs(shape, size=size, random_state=1))
    x = np.where(sides, right * draws, -left * draws)
    found = [float(value) for value in quality._asymmetric(torch.from_numpy(x[None]))]
    assert found[0] == pytest.approx(shape, rel=0.03)
    assert found[1] == pytest.approx(x.mean(), rel=0.03)
    assert found[2:] == pytest.approx([x[x < 0].var() + x[x < 0].mean() ** 2, (x[x > 0] ** 2).mean()], rel=1e-6)


def test_normalisation_is_scipys():
    grey = np.random.default_rng(0).random((40, 50)) * 255
    found, deviation = quality.normalised(torch.from_numpy(grey)[None, None])

    def mean(x):
        return scipy.ndimage.gaussian_filter(x, 7 / 6, radius=3, mode="nearest")

    expected = np.sqrt(mean(grey**2) - mean(grey) ** 2)
    np.testing.assert_allclose(deviation[0, 0], expected, rtol=1e-9)
    np.testing.assert_allclose(found[0, 0], (grey - mean(grey)) / (expected + 1), rtol=1e-9, atol=1e-12)


def test_patches_are_cut_row_by_row_and_know_sharpness():
    x = torch.full((1, 3, 200, 300), 0.5)
    x[..., 96:192, 192:288] = natural(1)[..., :96, :96]
    found = quality.patches(x)
    assert found.shape == (6, 37) and found[:, -1].argmax() == 5 and found.isfinite().all()


def test_distance_is_the_published_formula(corpus):
    other = quality.patches(natural(50))
    everything = torch.cat([rows[rows[:, -1] > 0.75 * rows[:, -1].max(), :36] for rows in corpus]).numpy()
    apart = other[:, :36].numpy().mean(0) - everything.mean(0)
    middle = (np.cov(everything.T) + np.cov(other[:, :36].numpy().T)) / 2
    expected = np.sqrt(apart @ np.linalg.inv(middle) @ apart)
    assert float(quality.nss_distance([other], corpus)) == pytest.approx(expected, rel=1e-6)


def test_damage_raises_the_distance(corpus):
    rng = torch.Generator().manual_seed(0)
    for seed in (20, 21):
        x = natural(seed)
        noise = torch.rand(x.shape, generator=rng) - 0.5
        damaged = [(x + noise * eps / 255).clamp(0, 1) for eps in (16, 60)] + [jpeg(x, 30), F.avg_pool2d(x, 5, 1, 2)]
        clean, faint, *strong = quality.nss_distance([quality.patches(y) for y in (x, *damaged)], corpus).tolist()
        assert clean < faint and min(strong) > 3 * clean


def test_too_little_is_one_sentence(corpus):
    with pytest.raises(UsageError, match="needs 96 px a side, but a picture has 95 x 200 px"):
        quality.patches(torch.zeros(1, 3, 200, 95))
    with pytest.raises(UsageError, match="needs 37 sharp clean patches of 96 px, but there are"):
        quality.nss_distance(corpus[:1], [corpus[0][:9]])
    with pytest.raises(UsageError, match="one or more of each"):
        quality.nss_distance([], corpus)
    with pytest.raises(UsageError, match="but there are 0"):
        quality.nss_distance(corpus, [quality.patches(torch.full((1, 3, 960, 960), 0.5))])
