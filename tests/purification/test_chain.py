"""Chains by text: what they are called, what they refuse in one sentence, and the grid they end on."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from gaussian import exact_model

from tiny import pictures
from unlearnable import registry
from unlearnable.errors import UnlearnableError, UsageError
from unlearnable.purification.chain import Chain, parse
from unlearnable.purification.simple import Blur, Jpeg, Noise, Resize
from unlearnable.rng import generator

X = pictures(2, seed=4, side=64)[..., :37, :51]
WELL_FORMED = [
    ("none", "none"),
    ("jpeg", "jpeg:75"),
    (" jpeg:80 + resize:0.50 ", "jpeg:80+resize:0.5"),
    ("none+blur:2+none", "blur:2"),
    ("noise:8.0+noise:8", "noise:8+noise:8"),
    ("diffpure", "diffpure:0.15"),
    ("diffpure:1e-1:eta=0", "diffpure:0.1:eta=0"),
    ("diffpure:eta=0:steps=7", "diffpure:0.15:steps=7:eta=0"),
    ("gridpure:0.02:5:0.1", "gridpure:0.02:rounds=5"),
    ("impress:0.03:rms", "impress:0.03:distance=rms"),
    ("tv:0.1:steps=200", "tv:0.1"),
    ("upscale:12:upscaler=some/where", "upscale:12:upscaler=some/where"),
    ("vae", "vae"),
]


@pytest.mark.parametrize(("text", "name"), WELL_FORMED)
def test_names_are_canonical_and_name_the_same_chain(text, name):
    assert parse(text).name == name and parse(name) == parse(text)


def test_every_registered_purifier_parses_by_its_name_alone_and_says_what_it_does():
    for name in registry.names("purifier"):
        assert parse(parse(name).name) == parse(name)
        summary = registry.entry(name, "purifier").summary
        assert 20 < len(summary) < 116 and "`" not in summary and "\n" not in summary


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "'' leaves a purifier out: write e.g. 'jpeg:75+resize:0.5', or 'none'"),
        ("jpeg++blur", "'jpeg++blur' leaves a purifier out"),
        ("jpg:75", "unknown purifier 'jpg': did you mean 'jpeg'?"),
        ("JPEG", "unknown purifier 'JPEG': use one of jpeg, resize"),
        ("jpeg:high", "quality 'high' in 'jpeg:high' is not a whole number: give one"),
        ("jpeg:75.5", "quality '75.5' in 'jpeg:75.5' is not a whole number"),
        ("blur:", "sigma '' in 'blur:' is not a number: give one"),
        ("jpeg:0", "JPEG quality 0 is out of range: give 1 to 100"),
        ("resize:0", "resize factor 0 is out of range: give 0.01 to 1"),
        ("resize:1.5", "resize factor 1.5 is out of range"),
        ("blur:-1", "blur sigma -1 is out of range: give 0 to 100"),
        ("noise:nan", "noise sigma nan is out of range"),
        ("noise:inf", "noise sigma inf is out of range"),
        ("median:4", "median side 4 is even: give an odd number of pixels such as 5"),
        ("bits:9", "number of bits 9 is out of range: give 1 to 8"),
        ("tv:-0.1", "total variation weight -0.1 is out of range"),
        ("diffpure:2", "strength (t*, a share of the schedule) 2 is out of range: give 0 to 1"),
        ("diffpure:steps=0", "number of denoising steps 0 is out of range"),
        ("gridpure:gamma=7", "gamma 7 is out of range: give 0 to 1"),
        ("impress:0.1:lpips", "unknown distance 'lpips': use one of ssim, rms"),
        ("upscale:999", "noise sigma 999 is out of range"),
        ("tv:wieght=1", "unknown setting 'wieght' in 'tv:wieght=1': did you mean 'weight'?"),
        ("tv:1:weight=1", "'tv:1:weight=1' gives weight twice: give it once"),
        ("jpeg:1:2", "'jpeg:1:2' gives jpeg 2 settings: it has 1 (quality)"),
        ("vae:1", "'vae:1' gives vae 1 settings: it has none"),
        ("diffpure:model=embedded", "unknown setting 'model'"),
        ("jpeg:75," * 80, "a chain of 640 characters ('jpeg:75,"),
        ("blur:1+" * 50, "is too long: give at most 300"),
        ("jpeg:" + "9" * 290, "is out of range"),
        ("\x1b[2J\r\nrm", "unknown purifier '\\x1b[2J\\r\\nrm'"),
        ("__import__('os')", "unknown purifier"),
        ("../../etc/passwd", "unknown purifier"),
        ("jpeg:\u202e5\x00", "is not a whole number"),
    ],
)
def test_mistakes_are_one_sentence(text, sentence):
    with pytest.raises(UsageError) as caught:
        parse(text)
    said = str(caught.value)
    assert sentence in said and len(said) < 700 and said.isprintable()


def test_a_missing_model_is_said_before_any_work(monkeypatch):
    chain = parse("jpeg:75+diffpure")
    monkeypatch.setattr(Jpeg, "__call__", lambda *_, **__: pytest.fail("work was done"))
    assert chain.needs_model and not parse("jpeg").needs_model and parse("upscale").needs_model
    assert not parse("upscale:upscaler=some/where").needs_model
    with pytest.raises(UsageError, match="'diffpure' needs a diffusion model: pass model="):
        chain(X)
    with pytest.raises(UsageError, match="'exact' has no autoencoder: use a latent model such as 'embedded'"):
        parse("vae", exact_model())(X)


def test_a_model_given_to_parse_is_carried():
    model = exact_model()
    assert parse("blur:1+diffpure", model).links[1][1].model is model
    assert parse("blur:1+diffpure").with_model(model) == parse("blur:1+diffpure", model)


def test_links_act_in_turn_and_each_ends_on_the_grid():
    def grid(x):
        return (x.clamp(0, 1) * 255).round() / 255

    expected = grid(Blur(1.5)(grid(Noise(20)(X, seed=3))))
    assert torch.equal(parse("noise:20+blur:1.5")(X, 3), expected)
    assert not torch.equal(parse("blur:1.5+noise:20")(X, 3), expected)
    assert torch.equal(parse("jpeg:75+resize:0.5")(X), grid(Resize(0.5)(Jpeg(75)(X))))


def test_none_returns_the_pictures_untouched():
    off = torch.rand(1, 3, 5, 7, generator=generator("off the grid")) + 3
    assert parse("none")(off) is off


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 4, 8, 8)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(UsageError, match=r"give \[batch, 3, height, width\]"):
        parse("blur")(torch.zeros(shape))


@dataclass(frozen=True)
class Wild:
    """A stranger's purifier that leaves the range of samples."""

    gain: float = 3.0

    def __call__(self, images, *, seed=0):
        return images * self.gain


@dataclass(frozen=True)
class Broken:
    """A stranger's purifier that divides by nothing, or crops."""

    how: str = "nan"

    def __call__(self, images, *, seed=0):
        return images[..., 1:] if self.how == "crop" else images / 0 * 0


def test_third_parties_join_by_entry_point_and_are_not_trusted(monkeypatch):
    here = [
        SimpleNamespace(name="wild", value=f"{__name__}:Wild"),
        SimpleNamespace(name="bad", value=f"{__name__}:Broken"),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: here if group == "unlearnable.purifiers" else [])
    assert {"wild", "bad"} <= set(registry.names("purifier"))
    chain = parse("wild:4")
    assert chain.name == "wild:4" and chain(X).min() >= 0 and chain(X).max() <= 1
    for how in ("nan", "crop"):
        with pytest.raises(UnlearnableError, match="'bad' gave pictures that are not finite or not of the shape"):
            parse(f"bad:{how}")(X)


def test_an_empty_chain_is_none():
    assert Chain().name == "none" and Chain() == parse("none")
