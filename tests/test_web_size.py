"""`web_size`: pictures are scaled first and protected then, with all that they carry, and the run still resumes."""

import io
import json

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from tiny import PROMPT, fitted
from unlearnable.errors import PictureError
from unlearnable.images import files
from unlearnable.jobs import protect as batch
from unlearnable.recipe import Recipe

RECIPE = Recipe(method="advdm", strength="paper", eps=8, steps=2, prompt=PROMPT, resolution=64, web_size=96)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def smooth(height, width, seed=0):
    """Large soft shapes, which every sound way of scaling gives back alike."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = [np.sin(3 * x + 2 * y + seed + c) + np.cos(4 * y - c * x) for c in range(3)]
    return np.clip(128 + 50 * np.dstack(waves), 0, 255).astype(np.uint8)


def run(source, out, recipe=RECIPE, **options):
    return list(batch.protect(source, out, recipe, model=fitted("sd1"), **options))


@pytest.mark.parametrize(
    "height, width, scaled",
    [(200, 300, (64, 96)), (300, 100, (96, 32)), (97, 97, (96, 96)), (96, 40, (96, 40)), (50, 50, (50, 50))],
)
def test_the_longer_side_has_at_most_that_and_nothing_is_enlarged(tmp_path, height, width, scaled):
    pixels = smooth(height, width)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (result,) = run(tmp_path / "a.png", tmp_path / "out")
    after = files.read(result.output).pixels
    assert after.shape[:2] == scaled
    assert any("scaled from" in note for note in result.notes) == (scaled != (height, width))
    area = np.asarray(Image.fromarray(pixels).resize(scaled[::-1], Image.Resampling.BOX))  # another filter
    change = np.abs(after.astype(int) - area)
    assert 0 < result.measured["linf"] <= 8
    assert change.max() <= 8 + 8 and change.mean() < 8  # the budget, and what filters differ in on soft shapes


def test_fine_grain_is_averaged_and_does_not_alias(tmp_path):
    stripes = np.tile(np.array([0, 255], np.uint8), (384, 192))
    Image.fromarray(stripes).convert("RGB").save(tmp_path / "a.png")
    found = files.within(tmp_path / "a.png", 96).pixels
    assert abs(float(found[8:-8, 8:-8].mean()) - 127.5) < 3 and found[8:-8, 8:-8].std() < 3


def test_alpha_profile_metadata_and_format_are_carried(tmp_path):
    rgba = np.dstack([smooth(200, 300), np.full((200, 300), 255, np.uint8)])
    rgba[:, 150:] = (255, 0, 255, 0)  # a loud colour where nothing shows
    exif = Image.Exif()
    exif[0x010E] = "a test"
    exif[ExifTags.IFD.Exif] = {0xA002: 300, 0xA003: 200}
    Image.fromarray(rgba).save(tmp_path / "a.webp", lossless=True, exact=True, icc_profile=PROFILE, exif=exif)
    (result,) = run(tmp_path / "a.webp", tmp_path / "out", Recipe(**vars(RECIPE) | {"keep_metadata": True}))
    with Image.open(result.output) as image:
        assert (image.format, image.size, image.mode) == ("WEBP", (96, 64), "RGBA")
        assert image.info["icc_profile"] == PROFILE
        kept = image.getexif()
        assert kept[0x010E] == "a test" and dict(kept.get_ifd(ExifTags.IFD.Exif)) == {0xA002: 96, 0xA003: 64}
        samples = np.asarray(image)
    assert (samples[:, :40, 3] == 255).all() and (samples[:, 56:, 3] == 0).all()
    scaled = files.within(tmp_path / "a.webp", 96)
    shown = scaled.alpha >= 16  # of what is nearly transparent 8 bits keep no colour
    assert np.abs(scaled.pixels[shown].astype(int) - smooth(64, 96)[shown]).max() < 30, "no colour bleeds in"


def test_a_grey_picture_stays_grey(tmp_path):
    Image.fromarray(smooth(200, 300)[..., 0]).save(tmp_path / "a.png")
    (result,) = run(tmp_path / "a.png", tmp_path / "out")
    with Image.open(result.output) as image:
        assert image.mode == "L" and image.size == (96, 64)


@pytest.mark.parametrize("mask_size", [(200, 300), (64, 96)])
def test_the_mask_is_scaled_along(tmp_path, mask_size):
    Image.fromarray(smooth(200, 300)).save(tmp_path / "a.png")
    light = np.zeros(mask_size, np.uint8)
    light[:, : mask_size[1] // 2] = 255
    (tmp_path / "masks").mkdir()
    Image.fromarray(light).save(tmp_path / "masks" / "a.png")
    (result,) = run(tmp_path / "a.png", tmp_path / "out", mask=tmp_path / "masks")
    change = files.read(result.output).pixels.astype(int) - files.within(tmp_path / "a.png", 96).pixels
    assert (change[:, 50:] == 0).all() and (change[:, :46] != 0).any()


def test_the_size_is_part_of_what_is_resumed(tmp_path):
    Image.fromarray(smooth(200, 300)).save(tmp_path / "a.png")
    (first,) = run(tmp_path / "a.png", tmp_path / "out")
    kept = first.output.read_bytes()
    assert [r.status for r in run(tmp_path / "a.png", tmp_path / "out")] == ["skipped"]
    (other,) = run(tmp_path / "a.png", tmp_path / "out", Recipe(**vars(RECIPE) | {"web_size": 128}))
    assert other.status == "protected" and files.read(other.output).pixels.shape == (85, 128, 3)
    (again,) = run(tmp_path / "a.png", tmp_path / "out")
    assert again.status == "protected" and again.output.read_bytes() == kept
    line = json.loads((tmp_path / "out" / "unlearnable.jsonl").read_text().splitlines()[-1])
    assert (line["height"], line["width"]) == (64, 96)


def test_what_is_scaled_first_and_what_was_scaled_before_are_protected_alike(tmp_path):
    Image.fromarray(smooth(200, 300)).save(tmp_path / "a.png")
    Image.fromarray(smooth(200, 300)).resize((96, 64), Image.Resampling.LANCZOS).save(tmp_path / "b.png")
    results = run([tmp_path / "a.png", tmp_path / "b.png"], tmp_path / "out")
    one, two = (files.read(result.output).pixels for result in results)
    assert (one == two).all()


def test_a_strip_that_would_be_too_thin_is_named(tmp_path):
    data = io.BytesIO()
    Image.fromarray(smooth(20, 400)).save(data, "PNG")
    (tmp_path / "strip.png").write_bytes(data.getvalue())
    with pytest.raises(PictureError, match=r"strip\.png has 400 x 20 px, and would be 5 px thin"):
        files.within(tmp_path / "strip.png", 96)
    (result,) = run(tmp_path / "strip.png", tmp_path / "out")
    assert result.status == "failed" and "strip.png" in result.message
