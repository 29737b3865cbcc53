"""The countermeasures without a model, against the codec, scipy, scikit-image, Pillow and closed forms."""

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.JpegImagePlugin import get_sampling
from scipy import ndimage
from skimage.restoration import denoise_tv_chambolle

from tiny import pictures
from unlearnable.errors import PictureError
from unlearnable.purification.simple import (
    Bits,
    Blur,
    Jpeg,
    Median,
    Noise,
    Resize,
    Saturate,
    TotalVariation,
    divergence,
    gradient,
)
from unlearnable.rng import generator

X = pictures(2, seed=4, side=64)[..., :37, :51]  # odd sides
ROUGH = (torch.rand(1, 3, 37, 51, generator=generator("rough")) * 255).round() / 255


def array(x):
    """``[h w 3]`` of the only or first picture."""
    return x[0].permute(1, 2, 0).double().numpy()


def psnr(x, y):
    return float(-10 * (x - y).square().mean().log10())


@pytest.mark.parametrize("quality", [5, 75, 100])
def test_jpeg_is_what_a_jpeg_file_reads_back_as(quality, tmp_path):
    pixels = (array(X) * 255).round().astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.jpg", quality=quality, subsampling=2)
    with Image.open(tmp_path / "x.jpg") as image:
        assert get_sampling(image) == 2
        expected = np.asarray(image.convert("RGB"))
    assert (np.rint(array(Jpeg(quality)(X)) * 255) == expected).all()


def test_jpeg_100_is_near_the_identity():
    assert psnr(Jpeg(100)(X), X) > 48 and psnr(Jpeg(95)(X), X) < psnr(Jpeg(100)(X), X)


def test_jpeg_refuses_what_it_cannot_hold():
    with pytest.raises(PictureError, match="65501 px is more than a JPEG holds"):
        Jpeg()(torch.zeros(1, 3, 1, 65501))


@pytest.mark.parametrize("factor", [0.25, 0.5, 0.9])
def test_resize_is_pillows_bicubic(factor):
    size, small = (51, 37), (round(51 * factor), round(37 * factor))
    for channel in range(3):
        plane = Image.fromarray(array(X)[..., channel].astype(np.float32))
        down = Image.fromarray(np.clip(np.asarray(plane.resize(small, Image.Resampling.BICUBIC)), 0, 1))
        expected = np.clip(np.asarray(down.resize(size, Image.Resampling.BICUBIC)), 0, 1)
        assert np.abs(array(Resize(factor)(X))[..., channel] - expected).max() < 2e-5


@pytest.mark.parametrize("sigma", [0.5, 1.0, 3.3, 20.0])
def test_blur_is_scipys(sigma):
    expected = ndimage.gaussian_filter(array(ROUGH), (sigma, sigma, 0), mode="nearest", truncate=4)
    assert np.abs(array(Blur(sigma)(ROUGH)) - expected).max() < 1e-5


@pytest.mark.parametrize("side", [3, 5, 9])
def test_median_is_scipys(side):
    expected = ndimage.median_filter(array(ROUGH), (side, side, 1), mode="nearest")
    assert np.abs(array(Median(side)(ROUGH)) - expected).max() < 1e-6


def test_saturation_moves_away_from_the_brightness_of_itu_601():
    x = array(ROUGH).astype(np.float64)
    grey = x @ (0.299, 0.587, 0.114)
    expected = np.clip(grey[..., None] + 1.5 * (x - grey[..., None]), 0, 1)
    assert np.abs(array(Saturate(1.5)(ROUGH)) - expected).max() * 255 <= 1.5, "more than grey and result, rounded"


@pytest.mark.parametrize("bits", range(1, 9))
def test_bits_by_closed_form(bits):
    levels, top = np.arange(256), 2**bits - 1
    ramp = torch.from_numpy(levels / 255).float().expand(1, 3, 1, 256)
    out = Bits(bits)(ramp)[0, 0, 0].double().numpy()
    assert len(np.unique(out.round(6))) == 2**bits
    assert np.abs(out - levels / 255).max() <= 0.5 / top + 1e-7, "the nearest level was not taken"
    assert np.abs(out * top - np.rint(out * top)).max() < 1e-5


def test_noise_has_its_strength_and_its_names():
    grey = torch.full((2, 3, 200, 200), 128 / 255)
    grey[1] += 1 / 255
    y = Noise(10)(grey, seed=1) - grey
    assert abs(float(y.std()) * 255 - 10) < 0.1 and abs(float(y.mean())) * 255 < 0.1
    assert abs(float((y[0] * y[1]).mean() / y.var())) < 0.02, "two pictures got the same noise"
    assert torch.equal(Noise(10)(grey[1:], seed=1), Noise(10)(grey, seed=1)[1:])
    assert not torch.equal(Noise(10)(grey, seed=2), Noise(10)(grey, seed=1))


@pytest.mark.parametrize(("weight", "steps"), [(0.05, 20), (0.1, 100), (1.0, 100)])
def test_total_variation_is_scikit_images(weight, steps):
    expected = denoise_tv_chambolle(array(ROUGH), weight=weight, eps=0, max_num_iter=steps, channel_axis=-1)
    # one of their iterations computes the result from p and then updates p; ours the other way round
    close = np.abs(array(TotalVariation(weight, steps - 1)(ROUGH)) - expected).max()
    assert close < 1e-4, close


def test_total_variation_comes_as_close_as_scikit_image_does():
    rounds = {"weight": 0.1, "channel_axis": -1}
    limit = denoise_tv_chambolle(array(X), eps=0, max_num_iter=3000, **rounds)
    theirs, ours = denoise_tv_chambolle(array(X), **rounds), array(TotalVariation(0.1)(X))
    assert np.square(ours - limit).mean() < np.square(theirs - limit).mean()


def test_divergence_is_minus_the_adjoint_of_the_gradient():
    u = torch.randn(1, 1, 6, 7, generator=generator("u"), dtype=torch.double)
    p = gradient(torch.randn(1, 1, 6, 7, generator=generator("p"), dtype=torch.double))
    assert torch.allclose((gradient(u) * p).sum(), -(u * divergence(p)).sum())
