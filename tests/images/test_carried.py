"""What a file carries besides pixels: permissions, texts, a profile that fits; and real HEIC files."""

import io
import os
import stat

import numpy as np
import pytest
from crafted import colours, profile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import unlearnable
from unlearnable.images.files import read

QUICK = unlearnable.Recipe(method="random")
TEXTS = {"Author": "Ada", "parameters": "steps: 20, žluťoučký", "Software": "camera"}


@pytest.fixture
def pictured(tmp_path):
    chunks = PngInfo()
    for key, text in TEXTS.items():
        chunks.add_text(key, text)
    path = tmp_path / "in" / "a.png"
    path.parent.mkdir()
    Image.fromarray(colours()).resize((64, 64)).save(path, pnginfo=chunks)
    return path


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o444])
def test_a_result_is_no_more_open_than_its_original(pictured, tmp_path, mode):
    pictured.chmod(mode)
    before = os.umask(0o022)
    try:
        list(unlearnable.protect(pictured, tmp_path / "protected", QUICK))
        list(unlearnable.purify(pictured, tmp_path / "purified", "blur:1"))
    finally:
        os.umask(before)
    for folder in ("protected", "purified"):
        written = stat.S_IMODE((tmp_path / folder / "a.png").stat().st_mode)
        assert written == (mode | 0o200) & ~0o022


def test_texts_are_kept_where_metadata_is(pictured, tmp_path):
    for keep in (True, False):
        recipe = unlearnable.Recipe(method="random", keep_metadata=keep)
        list(unlearnable.protect(pictured, tmp_path / str(keep), recipe))
        with Image.open(tmp_path / str(keep) / "a.png") as image:
            assert image.text == (TEXTS if keep else {})
    recipe = unlearnable.Recipe(method="random", keep_metadata=True, format="webp")
    (result,) = unlearnable.protect(pictured, tmp_path / "webp", recipe)
    assert any("texts are left out" in note for note in result.notes)


@pytest.mark.parametrize(
    ("mode", "space", "kept"),
    [("RGB", b"RGB ", True), ("L", b"GRAY", True), ("RGB", b"GRAY", False), ("L", b"RGB ", False)],
)
def test_a_profile_belongs_to_the_channels_of_its_file(tmp_path, mode, space, kept):
    icc = profile(space)
    Image.fromarray(colours()).convert(mode).save(tmp_path / "a.png", icc_profile=icc)
    picture = read(tmp_path / "a.png")
    assert (picture.icc == icc) is kept
    assert any("does not fit" in note for note in picture.notes) is not kept


def test_a_real_heic_file(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    pixels = np.asarray(Image.fromarray(colours()).resize((96, 64)))
    made = heif.from_pillow(Image.fromarray(pixels))
    made.save(tmp_path / "a.heic", quality=-1)
    picture = read(tmp_path / "a.heic")
    assert picture.format == "HEIF" and picture.pixels.shape == (64, 96, 3)
    assert np.abs(picture.pixels.astype(int) - pixels).mean() < 8, "4:2:0 colours"
    (result,) = unlearnable.protect(tmp_path / "a.heic", tmp_path / "out", QUICK)
    assert result.output.name == "a.png" and 0 < result.measured["linf"] <= 6
    with Image.open(io.BytesIO(result.output.read_bytes())) as image:
        assert image.size == (96, 64)
