"""Fidelity against scikit-image, torchmetrics, published vectors and formulas written out."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.measure import block_reduce
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from tiny import pictures
from unlearnable.errors import SetupError, UsageError
from unlearnable.metrics import fidelity
from unlearnable.metrics.colour import delta_e_2000
from unlearnable.metrics.features import own_network
from unlearnable.models import features as embedded
from unlearnable.models.features import FeatureNetwork

WANG = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1, "channel_axis": 2}
PAIRED = (fidelity.psnr, fidelity.linf, fidelity.changed, fidelity.ssim, fidelity.ms_ssim, fidelity.ciede2000)

# Sharma, Wu and Dalal 2005, table 1: L1 a1 b1 L2 a2 b2 and the difference
SHARMA = """
50 2.6772 -79.7751 50 0 -82.7485 2.0425
50 3.1571 -77.2803 50 0 -82.7485 2.8615
50 2.8361 -74.0200 50 0 -82.7485 3.4412
50 -1.3802 -84.2814 50 0 -82.7485 1.0000
50 -1.1848 -84.8006 50 0 -82.7485 1.0000
50 -0.9009 -85.5211 50 0 -82.7485 1.0000
50 0 0 50 -1 2 2.3669
50 -1 2 50 0 0 2.3669
50 2.4900 -0.0010 50 -2.4900 0.0009 7.1792
50 2.4900 -0.0010 50 -2.4900 0.0010 7.1792
50 2.4900 -0.0010 50 -2.4900 0.0011 7.2195
50 2.4900 -0.0010 50 -2.4900 0.0012 7.2195
50 -0.0010 2.4900 50 0.0009 -2.4900 4.8045
50 -0.0010 2.4900 50 0.0010 -2.4900 4.8045
50 -0.0010 2.4900 50 0.0011 -2.4900 4.7461
50 2.5 0 50 0 -2.5 4.3065
50 2.5 0 73 25 -18 27.1492
50 2.5 0 61 -5 29 22.8977
50 2.5 0 56 -27 -3 31.9030
50 2.5 0 58 24 15 19.4535
50 2.5 0 50 3.1736 0.5854 1.0000
50 2.5 0 50 3.2972 0 1.0000
50 2.5 0 50 1.8634 0.5757 1.0000
50 2.5 0 50 3.2592 0.3350 1.0000
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
63.0109 -31.0961 -5.8663 62.8187 -29.7946 -4.0864 1.2630
61.2901 3.7196 -5.3901 61.4292 2.2480 -4.9620 1.8731
35.0831 -44.1164 3.7933 35.0232 -40.0716 1.5901 1.8645
22.7233 20.0904 -46.6940 23.0331 14.9730 -42.5619 2.0373
36.4612 47.8580 18.3852 36.2715 50.5065 21.2231 1.4146
90.8027 -2.0831 1.4410 91.1528 -1.6435 0.0447 1.4441
90.9257 -0.5406 -0.9208 88.6381 -0.8985 -0.7239 1.5381
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.1350 0.9033 -0.0636 -0.5514 0.9082
"""


def noisy(x, strength, seed=0):
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    return ((x + strength * noise).clamp(0, 1) * 255).round() / 255


@pytest.fixture(scope="module")
def pair():
    x = pictures(3, seed=7, side=180)
    y = torch.cat([noisy(x[:1], 0.01), noisy(x[1:2], 0.05), F.avg_pool2d(x[2:], 5, 1, 2)])
    return y, x


def each(function, images, references):
    turned = zip(images.double().permute(0, 2, 3, 1).numpy(), references.double().permute(0, 2, 3, 1).numpy())
    return torch.tensor([float(function(reference, image)) for image, reference in turned], dtype=torch.float64)


def test_psnr_is_that_of_scikit_image(pair):
    expected = each(lambda a, b: peak_signal_noise_ratio(a, b, data_range=1), *pair)
    torch.testing.assert_close(fidelity.psnr(*pair), expected, rtol=1e-6, atol=0)


def test_ssim_is_that_of_scikit_image(pair):
    expected = each(lambda a, b: structural_similarity(a, b, **WANG), *pair)
    assert expected.min() < 0.8
    torch.testing.assert_close(fidelity.ssim(*pair), expected, rtol=0, atol=1e-5)


def textbook_ms_ssim(reference, image, weights):
    """Wang, Simoncelli and Bovik 2003 by scikit-image's map and scipy's filter; numpy ``[h w 3]``."""
    total = 1.0
    for scale, weight in enumerate(weights):
        _, whole = structural_similarity(reference, image, full=True, **WANG)
        mean_x, mean_y = (gaussian_filter(x, (1.5, 1.5, 0), truncate=3.5) for x in (reference, image))
        luminance = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
        factor = whole if scale == len(weights) - 1 else whole / luminance
        total *= factor[5:-5, 5:-5].mean() ** weight
        reference, image = (block_reduce(x, (2, 2, 1), np.mean) for x in (reference, image))
    return total


def test_ms_ssim_is_the_textbooks(pair):
    published = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
    y, x = (part[..., :176, :176] for part in pair)  # five halvings leave 11 px
    expected = each(lambda a, b: textbook_ms_ssim(a, b, published), y, x)
    assert expected.min() < 0.9
    torch.testing.assert_close(fidelity.ms_ssim(y, x), expected, rtol=0, atol=1e-5)
    # torchmetrics averages the last scale over mirrored borders as well
    theirs = multiscale_structural_similarity_index_measure(y, x, data_range=1.0, reduction="none")
    torch.testing.assert_close(fidelity.ms_ssim(y, x), theirs.double(), rtol=0, atol=1e-3)


def test_ms_ssim_of_small_pictures_uses_the_scales_that_fit(pair):
    y, x = (part[..., :64, :64] for part in pair)  # 64, 32 and 16 px: three scales
    weights = np.array([0.0448, 0.2856, 0.3001])  # of published ones that sum to 1.0001
    expected = each(lambda a, b: textbook_ms_ssim(a, b, 1.0001 * weights / weights.sum()), y, x)
    torch.testing.assert_close(fidelity.ms_ssim(y, x), expected, rtol=0, atol=1e-5)
    tiny = (part[..., :16, :16] for part in pair)
    whole = fidelity.ssim(y[..., :16, :16], x[..., :16, :16])
    torch.testing.assert_close(fidelity.ms_ssim(*tiny), whole**1.0001)


def test_colour_difference_on_the_published_pairs():
    rows = torch.tensor([[float(word) for word in line.split()] for line in SHARMA.split("\n") if line]).double()
    assert len(rows) == 34
    first, second, expected = rows[:, :3], rows[:, 3:6], rows[:, 6]
    torch.testing.assert_close(delta_e_2000(first, second), expected, rtol=0, atol=5e-5)
    torch.testing.assert_close(delta_e_2000(second, first), expected, rtol=0, atol=5e-5)


def test_ciede2000_is_that_of_scikit_image(pair, monkeypatch):
    expected = each(lambda a, b: deltaE_ciede2000(rgb2lab(a), rgb2lab(b)).mean(), *pair)
    assert expected.min() > 0.5
    torch.testing.assert_close(fidelity.ciede2000(*pair), expected, rtol=2e-3, atol=0)
    whole = fidelity.ciede2000(*pair)
    monkeypatch.setattr(fidelity, "STRIP", 1000)
    torch.testing.assert_close(fidelity.ciede2000(*pair), whole)


def test_linf_and_changed_share_count_levels():
    x = pictures(2, seed=3)
    y = x.clone()
    y[0, 1, 4, 5] += 6 / 255 if x[0, 1, 4, 5] < 0.5 else -6 / 255
    y[0, 0, 9, 9] += 2 / 255 if x[0, 0, 9, 9] < 0.5 else -2 / 255
    y[1] += 0.2 / 255  # stays on its level of 8 bits
    assert fidelity.linf(y.clamp(0, 1), x).tolist() == [6.0, 0.2]
    assert fidelity.changed(y.clamp(0, 1), x).tolist() == [2 / 32**2, 0]


def test_features_distance_is_the_formula_written_out():
    torch.manual_seed(0)
    network = own_network(FeatureNetwork(["a", "b"], (8, 8, 16)))
    x = pictures(2, seed=3)
    y = noisy(x, 0.05)
    for row, (one, other) in enumerate(zip(y, x)):
        expected = 0.0
        for a, b in zip(network.maps(one[None]), network.maps(other[None])):
            a, b = a[0].numpy(), b[0].numpy()
            layer = 0.0
            for i in range(a.shape[1]):
                for j in range(a.shape[2]):
                    u, v = a[:, i, j], b[:, i, j]
                    u, v = (w / max(np.linalg.norm(w), 1e-12) for w in (u, v))
                    layer += ((u - v) ** 2).sum()
            expected += layer / (a.shape[1] * a.shape[2])
        assert float(fidelity.features_distance(y, x, network)[row]) == pytest.approx(expected, rel=1e-5)
    assert fidelity.features_distance(x, x, network).tolist() == [0, 0]
    further = fidelity.features_distance(noisy(x, 0.2), x, network)
    assert (further > fidelity.features_distance(y, x, network)).all()


def test_large_pictures_are_scaled_down_before_the_network(monkeypatch):
    seen = []

    class Stub:
        def maps(self, images):
            seen.append(tuple(images.shape[-2:]))
            return [images]

    monkeypatch.setattr(embedded, "AREA", 1000)
    x = pictures(1, side=64)[..., :40, :]
    fidelity.features_distance(x, x, Stub())
    assert seen == [(25, 40)] * 2


def test_rows_do_not_depend_on_the_batch(pair):
    for function in PAIRED:
        alone = torch.cat([function(pair[0][i : i + 1], pair[1][i : i + 1]) for i in range(3)])
        torch.testing.assert_close(function(*pair), alone, rtol=1e-6, atol=1e-6)


def test_equal_pictures():
    x = pictures(2)
    values = [function(x, x.clone()).tolist() for function in PAIRED]
    assert values[0] == [float("inf")] * 2 and values[1] == values[2] == [0, 0]
    assert values[3] == pytest.approx([1, 1]) and values[4] == pytest.approx([1, 1]) and values[5] == [0, 0]


@pytest.mark.parametrize("function", PAIRED)
@pytest.mark.parametrize(
    ("images", "references", "sentence"),
    [
        (torch.full((1, 3, 16, 16), torch.nan), torch.zeros(1, 3, 16, 16), "span nan to nan"),
        (torch.full((1, 3, 16, 16), -1.0), torch.zeros(1, 3, 16, 16), "span -1 to -1: rescale them"),
        (torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), 255.0), "span 255 to 255"),
        (torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 17), "give a picture and its own twin"),
        (torch.zeros(16, 16, 3), torch.zeros(16, 16, 3), r"the shape is \[16, 16, 3\]"),
        (torch.zeros(0, 3, 16, 16), torch.zeros(0, 3, 16, 16), r"the shape is \[0, 3, 16, 16\]"),
    ],
)
def test_bad_input_is_one_sentence(function, images, references, sentence):
    with pytest.raises(UsageError, match=sentence):
        function(images, references)


def test_too_small_for_a_window():
    x = torch.zeros(1, 3, 10, 40)
    for function in (fidelity.ssim, fidelity.ms_ssim):
        with pytest.raises(UsageError, match="needs 11 px a side, but a picture has 40 x 10 px"):
            function(x, x)


def test_lpips_says_what_it_needs_and_the_perceptual_distance_falls_back():
    fidelity.lpips_network.cache_clear()
    with pytest.raises(SetupError, match="without them use features-distance"):
        fidelity.lpips(pictures(1), pictures(1))
    assert fidelity.perceptual() == "features-distance"


def test_lpips_gives_one_row_a_pair(monkeypatch):
    monkeypatch.setattr(fidelity, "lpips_network", lambda: lambda a, b: (a - b).abs().mean())
    x = pictures(3)
    y = noisy(x, 0.1)
    expected = (y - x).abs().flatten(1).mean(1).double()
    torch.testing.assert_close(fidelity.lpips(y, x), expected)
    assert fidelity.perceptual() == "lpips"
