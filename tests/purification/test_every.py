"""Every countermeasure in one table: a new one is one row.

Strengths run from the identity to strong; the change must grow with them. The diffusion model is exact (Gaussian data);
the autoencoder is a random one, enough for what must hold whatever the weights (`test_autoencoder` has a fitted one).
"""

import tempfile
from functools import cache
from pathlib import Path

import pytest
import torch
from gaussian import exact_model

from tiny import adapt, build, pictures
from unlearnable import registry
from unlearnable.purification import redraw, remover
from unlearnable.purification.chain import parse
from unlearnable.rng import generator

STRENGTHS = {  # name: texts, weakest first; the first changes nothing
    "jpeg": ("none", "jpeg:95", "jpeg:75", "jpeg:50", "jpeg:20", "jpeg:5"),  # quality 100 is tested by itself
    "resize": ("resize:1", "resize:0.8", "resize:0.5", "resize:0.25", "resize:0.1"),
    "blur": ("blur:0", "blur:0.5", "blur:1", "blur:2", "blur:5"),
    "median": ("median:1", "median:3", "median:5", "median:9"),
    "saturate": ("saturate:1", "saturate:1.2", "saturate:2", "saturate:5"),
    "noise": ("noise:0", "noise:2", "noise:8", "noise:32"),
    "bits": ("bits:8", "bits:6", "bits:5", "bits:4", "bits:2", "bits:1"),
    "tv": ("tv:0", "tv:0.03", "tv:0.1", "tv:0.3", "tv:1"),
    "vae": ("none", "vae"),  # has no strength
    "diffpure": ("diffpure:0", "diffpure:0.02", "diffpure:0.1", "diffpure:0.3", "diffpure:0.8"),
    "gridpure": tuple(f"gridpure:{t}:rounds=3" for t in (0, 0.01, 0.03, 0.1, 0.3)),
    "impress": tuple(f"impress:{bound}:steps=15" for bound in (0, 0.01, 0.03, 0.1)),
    "crop-resize": tuple(f"crop-resize:{share}" for share in (1, 0.97, 0.9, 0.75, 0.5)),
    "adverse-cleaner": tuple(f"adverse-cleaner:{filters}" for filters in (0, 1, 8, 64, 200)),
    "remover": ("remover:0", *(f"remover:{strength}:file={{remover}}" for strength in (0.2, 0.5, 1))),
    "img2img": ("img2img:0", "img2img:0.02", "img2img:0.1", "img2img:0.3", "img2img:0.8"),
    "upscale": ("upscale:0:strength=0:factor=1", "upscale:4:0.05", "upscale:15:0.1", "upscale:40:0.3"),
}
LATENT = ("vae", "impress")
X = pictures(2, seed=4, side=64)[..., :37, :51]  # odd sides, above the exact model's size


@cache
def autoencoder_model():
    return adapt(build("sd1"), "tiny")


@cache
def network():
    """A file of a remover with random weights in its last layer."""
    made, file = remover.Network(), Path(tempfile.mkdtemp()) / "remover.safetensors"
    torch.nn.init.normal_(made.network.conv_out.weight, std=0.02, generator=generator("remover"))
    remover.save(made, file)
    return file


@pytest.fixture(autouse=True)
def another_model(monkeypatch):
    """What img2img draws with, in place of one that is loaded by name."""
    monkeypatch.setattr(redraw, "other", lambda name: exact_model())


def chain(name, text):
    if name == "remover":
        text = text.format(remover=network())
    return parse(text, autoencoder_model() if name in LATENT else exact_model())


def test_the_table_has_every_purifier():
    assert set(STRENGTHS) == set(registry.PURIFIERS)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow if n in ("gridpure", "impress") else ()) for n in STRENGTHS]
)
def test_strength_is_monotone_from_the_identity(name):
    results = [chain(name, text)(X, seed=1) for text in STRENGTHS[name]]
    assert torch.equal(results[0], X), "the weakest strength must change nothing"
    errors = torch.stack([(y - X).square().flatten(1).mean(1) for y in results])
    assert (errors[1:] > errors[:-1]).all(), (-10 * errors.log10()).tolist()
    for y in results:
        assert y.shape == X.shape and y.min() >= 0 and y.max() <= 1
        assert torch.equal((y * 255).round() / 255, y), "not on the 8-bit grid"


@pytest.mark.parametrize("name", STRENGTHS)
def test_same_seed_same_picture_whatever_the_batch(name):
    act = chain(name, STRENGTHS[name][1 if name in ("gridpure", "impress") or len(STRENGTHS[name]) < 3 else 2])
    y, swapped, alone = act(X, seed=5), act(X.flip(0), seed=5).flip(0), act(X[1:], seed=5)
    assert torch.equal(y, act(X, seed=5))
    for other in (swapped[1:], alone):
        change = (y[1:] - other).abs() * 255
        assert change.max() <= 1 and (change > 0).float().mean() < 0.01  # float error may tip a sample over
    drawn = {"noise", "diffpure", "gridpure", "upscale", "crop-resize", "img2img"}
    assert torch.equal(act(X, seed=6), y) == (name not in drawn)


@pytest.mark.parametrize("name", [*STRENGTHS])
@pytest.mark.parametrize("size", [(16, 16), (17, 90), (5, 3)])
def test_odd_and_tiny_sizes_come_out_as_they_went_in(name, size):
    x = pictures(1, seed=8, side=96)[..., : size[0], : size[1]]
    y = chain(name, STRENGTHS[name][1])(x)
    assert y.shape == x.shape and torch.isfinite(y).all()
