"""Reading: whatever the file holds becomes upright 8-bit pixels by a rule that is written down here."""

import io

import numpy as np
import pytest
from crafted import chunk, cmyk_profile, colours, png, profile, tiff
from PIL import Image, ImageOps

from unlearnable.errors import PictureError
from unlearnable.images.files import Limits, Picture, content_hash, read

DEEP = np.random.default_rng(0).integers(0, 65536, (20, 24), dtype=np.uint16)
DEEP[0, :6] = [0, 128, 129, 255, 65534, 65535]
EXACT = np.floor(DEEP / 257 + 0.5).astype(np.uint8)  # round(v / 257); a half cannot occur


def put(tmp_path, data: bytes, name: str = "picture"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def saved(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


LOSSLESS = {"PNG": {}, "TIFF": {}, "BMP": {}, "WEBP": {"lossless": True}}


@pytest.mark.parametrize("format", LOSSLESS)
def test_lossless_formats_give_their_pixels(tmp_path, format):
    picture = read(put(tmp_path, saved(Image.fromarray(colours()), format, **LOSSLESS[format])))
    np.testing.assert_array_equal(picture.pixels, colours())
    assert (picture.format, picture.grey, picture.alpha, picture.notes) == (format, False, None, ())
    assert picture.pixels.flags.writeable and picture.pixels.flags.c_contiguous


@pytest.mark.parametrize("format", ["JPEG", "AVIF"])
def test_lossy_formats_give_what_pillow_decodes(tmp_path, format):
    data = saved(Image.fromarray(colours()), format)
    picture = read(put(tmp_path, data))
    np.testing.assert_array_equal(picture.pixels, np.asarray(Image.open(io.BytesIO(data))))
    assert np.abs(picture.pixels.astype(int) - colours()).mean() < 12
    assert picture.format == format


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG", "BMP"])
def test_grey_stays_grey(tmp_path, format):
    data = saved(Image.fromarray(colours()[..., 0]), format)
    picture = read(put(tmp_path, data))
    assert picture.grey and picture.pixels.shape == (40, 56, 3)
    np.testing.assert_array_equal(picture.pixels, np.dstack([np.asarray(Image.open(io.BytesIO(data)))] * 3))


@pytest.mark.parametrize(
    "data",
    [png(DEEP, 16, 0), saved(Image.fromarray(DEEP), "TIFF"), tiff(DEEP, 16), tiff(65535 - DEEP, 16, photometric=0)],
    ids=["png", "tiff", "tiff by hand", "tiff, white is zero"],
)
def test_16_bit_grey_is_rounded_and_not_clipped(tmp_path, data):
    picture = read(put(tmp_path, data))
    np.testing.assert_array_equal(picture.pixels[..., 0], EXACT)
    assert picture.grey and picture.notes == ("16 bits a sample reduced to 8",)


@pytest.mark.parametrize("order", [">", "<"])
def test_16_bit_grey_tiff_of_either_byte_order(tmp_path, order):
    image = Image.frombytes("I;16B" if order == ">" else "I;16", (24, 20), DEEP.astype(f"{order}u2").tobytes())
    np.testing.assert_array_equal(read(put(tmp_path, saved(image, "TIFF"))).pixels[..., 0], EXACT)


@pytest.mark.parametrize("channels,colour_type", [(3, 2), (4, 6)])
def test_16_bit_colour_png_keeps_the_high_byte(tmp_path, channels, colour_type):
    deep = np.random.default_rng(1).integers(0, 65536, (20, 24, channels), dtype=np.uint16)
    picture = read(put(tmp_path, png(deep, 16, colour_type)))
    np.testing.assert_array_equal(picture.pixels, deep[..., :3] >> 8)
    assert np.abs(picture.pixels - deep[..., :3] / 257).max() <= 1  # of 255: what the high byte costs at most
    assert (picture.alpha is not None) == (channels == 4)
    if picture.alpha is not None:
        np.testing.assert_array_equal(picture.alpha, deep[..., 3] >> 8)
    assert picture.notes == ("16 bits a sample reduced to 8 (the high bits of each)",)


def test_16_bit_grey_with_alpha_stays_grey(tmp_path):
    deep = np.random.default_rng(1).integers(0, 65536, (20, 24, 2), dtype=np.uint16)
    picture = read(put(tmp_path, png(deep, 16, 4)))
    assert picture.grey and picture.alpha is not None
    np.testing.assert_array_equal(picture.pixels[..., 0], deep[..., 0] >> 8)
    np.testing.assert_array_equal(picture.alpha, deep[..., 1] >> 8)


def test_16_bit_colour_tiff_keeps_the_high_byte(tmp_path):
    deep = np.random.default_rng(1).integers(0, 65536, (20, 24, 3), dtype=np.uint16)
    picture = read(put(tmp_path, tiff(deep, 16, photometric=2)))
    np.testing.assert_array_equal(picture.pixels, deep >> 8)
    assert picture.notes == ("16 bits a sample reduced to 8 (the high bits of each)",)


@pytest.mark.parametrize(
    "data",
    [
        tiff(DEEP.astype(np.float32), 32, sample_format=3),
        tiff(DEEP.astype(np.uint32), 32),
        tiff(DEEP.astype(np.int16), 16, sample_format=2),
    ],
    ids=["float", "32 bit", "signed"],
)
def test_samples_without_a_black_and_white_are_refused(tmp_path, data):
    with pytest.raises(PictureError, match=r"holds signed, 32-bit or floating-point samples.*export it with 8 or 16"):
        read(put(tmp_path, data))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_grey_below_8_bits(tmp_path, depth):
    top = 2**depth - 1
    values = np.random.default_rng(0).integers(0, top + 1, (17, 19))
    picture = read(put(tmp_path, png(values, depth, 0)))
    assert picture.grey and picture.alpha is None
    np.testing.assert_array_equal(picture.pixels[..., 0], values * 255 // top)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_transparent_grey_level(tmp_path, depth):
    top = 2**depth - 1
    values = np.random.default_rng(0).integers(0, top + 1, (17, 19))
    values[0, 0] = top
    picture = read(put(tmp_path, png(values, depth, 0, extra=chunk(b"tRNS", top.to_bytes(2, "big")))))
    np.testing.assert_array_equal(picture.alpha, np.where(values == top, 0, 255))
    assert picture.grey


def test_transparent_colour(tmp_path):
    pixels = colours()
    key = b"".join(int(v).to_bytes(2, "big") for v in pixels[5, 7])
    picture = read(put(tmp_path, png(pixels, 8, 2, extra=chunk(b"tRNS", key))))
    np.testing.assert_array_equal(picture.pixels, pixels)
    np.testing.assert_array_equal(picture.alpha, np.where((pixels == pixels[5, 7]).all(axis=2), 0, 255))
    assert picture.alpha[5, 7] == 0


@pytest.mark.parametrize(
    "transparency,expected",
    [(None, None), (bytes([0, 255]), [0, 255, 255, 255]), (bytes([9, 80, 255, 128]), [9, 80, 255, 128])],
    ids=["opaque", "one index", "an alpha each"],
)
def test_palette_is_expanded(tmp_path, transparency, expected):
    table = np.array([[255, 0, 0], [0, 200, 10], [1, 2, 3], [250, 251, 252]], dtype=np.uint8)
    index = np.random.default_rng(0).integers(0, 4, (16, 21))
    extra = chunk(b"PLTE", table.tobytes()) + (chunk(b"tRNS", transparency) if transparency else b"")
    picture = read(put(tmp_path, png(index, 2, 3, extra=extra)))
    np.testing.assert_array_equal(picture.pixels, table[index])
    assert picture.notes == ("palette expanded to RGB",) and not picture.grey
    if expected is None:
        assert picture.alpha is None
    else:
        np.testing.assert_array_equal(picture.alpha, np.array(expected)[index])


@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_straight_and_untouched(tmp_path, format, channels):
    if (format, channels) == ("WEBP", 2):
        channels = 4  # WebP has no grey
    values = np.random.default_rng(0).integers(0, 256, (18, 22, channels), dtype=np.uint8)
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    picture = read(put(tmp_path, saved(Image.fromarray(values), format, **options)))
    np.testing.assert_array_equal(picture.alpha, values[..., -1])
    np.testing.assert_array_equal(picture.pixels, values[..., :3] if channels == 4 else np.dstack([values[..., 0]] * 3))
    assert picture.grey == (channels == 2)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
def test_orientation_is_applied(tmp_path, format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    values = np.dstack([colours(), colours()[..., :1]])[..., : 3 if format == "JPEG" else 4]
    data = saved(Image.fromarray(values), format, exif=exif)
    picture = read(put(tmp_path, data))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(picture.pixels, expected[..., :3])
    if format != "JPEG":
        np.testing.assert_array_equal(picture.alpha, expected[..., 3])
    assert picture.pixels.shape[:2] == ((56, 40) if orientation >= 5 else (40, 56))
    # and by eye: the file's top left pixel ends in the corner that the standard names
    corner = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    if format in ("PNG", "TIFF"):
        np.testing.assert_array_equal(picture.pixels[corner[orientation]], values[0, 0, :3])


def test_orientation_after_the_pixels_and_on_16_bits_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = png(DEEP, 16, 0, late=chunk(b"eXIf", exif.tobytes()[6:]))
    np.testing.assert_array_equal(read(put(tmp_path, data)).pixels[..., 0], np.rot90(EXACT, -1))


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_nonsense_orientation_is_ignored(tmp_path, value):
    exif = Image.Exif()
    exif[0x0112] = value
    picture = read(put(tmp_path, saved(Image.fromarray(colours()), "PNG", exif=exif.tobytes())))
    np.testing.assert_array_equal(picture.pixels, colours())


def test_an_orientation_in_the_xmp_alone_is_not_obeyed(tmp_path):
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    data = saved(Image.fromarray(colours()), "WEBP", lossless=True, xmp=xmp)
    np.testing.assert_array_equal(read(put(tmp_path, data)).pixels, colours())


def test_damaged_exif_does_not_matter(tmp_path):
    data = saved(Image.fromarray(colours()), "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff garbage")
    picture = read(put(tmp_path, data))
    np.testing.assert_array_equal(picture.pixels, colours())
    assert picture.exif is None


@pytest.mark.parametrize("space", [b"RGB ", b"GRAY"])
def test_profile_is_carried_byte_for_byte(tmp_path, space):
    icc = profile(space)
    values = colours() if space == b"RGB " else colours()[..., 0]
    picture = read(put(tmp_path, saved(Image.fromarray(values), "PNG", icc_profile=icc)))
    assert picture.icc == icc and picture.notes == ()
    np.testing.assert_array_equal(picture.pixels[..., 0], values.reshape(40, 56, -1)[..., 0])


@pytest.mark.parametrize(
    "icc,note",
    [
        (b"garbage", "damaged colour profile dropped"),
        (profile()[:100], "damaged colour profile dropped"),
        (profile(b"CMYK"), "colour profile for CMYK dropped, as it does not fit the picture"),
        (profile(b"GRAY"), "colour profile for GRAY dropped, as it does not fit the picture"),
    ],
    ids=["garbage", "cut", "cmyk", "grey"],
)
def test_profile_that_says_nothing_is_dropped_with_a_note(tmp_path, icc, note):
    picture = read(put(tmp_path, saved(Image.fromarray(colours()), "PNG", icc_profile=icc)))
    assert picture.icc is None and picture.notes == (note,)
    np.testing.assert_array_equal(picture.pixels, colours())


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
@pytest.mark.parametrize("icc", [None, b"garbage", profile(b"CMYK")], ids=["none", "garbage", "unusable"])
def test_cmyk_without_a_usable_profile(tmp_path, format, icc):
    cmyk = Image.fromarray(colours()).convert("CMYK")
    data = saved(cmyk, format, icc_profile=icc)
    picture = read(put(tmp_path, data))
    np.testing.assert_array_equal(picture.pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    assert picture.icc is None and not picture.grey
    assert picture.notes[0].startswith("CMYK converted to sRGB without")


def test_lab_goes_through_colour_management(tmp_path):
    lab = np.zeros((20, 20, 3), np.uint8)
    lab[...] = [255, 0, 0]  # L* = 100, a* = b* = 0: white, as the file stores signed a* and b*
    lab[10:] = [0, 0, 0]
    picture = read(put(tmp_path, tiff(lab, 8, photometric=8)))
    assert picture.pixels[:10].min() >= 253 and picture.pixels[10:].max() <= 2
    assert picture.notes == ("LAB converted to sRGB by colour management",)


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_through_its_profile(tmp_path, format):
    """The profile says that every ink is a neutral grey, so the result is one that no plain formula gives."""
    inks = np.zeros((32, 32, 4), np.uint8)
    inks[16:, :16, 0] = 255  # cyan
    inks[:16, 16:, 3] = 255  # black
    inks[16:, 16:] = 255  # all
    image = Image.fromarray(inks, "CMYK")
    data = saved(image, format, icc_profile=cmyk_profile(), **({"quality": 100} if format == "JPEG" else {}))
    picture = read(put(tmp_path, data))
    paper, cyan, black, rich = (picture.pixels[y, x].astype(int) for y, x in [(4, 4), (28, 4), (4, 28), (28, 28)])
    assert paper.min() >= 253 and rich.max() <= 3
    # L* = 75 and 25 are 185 and 59 in sRGB; Pillow's own formula would give (0, 255, 255) and (0, 0, 0)
    assert np.abs(cyan - 185).max() <= 4 and np.abs(black - 59).max() <= 4
    assert picture.icc is None and picture.notes == ("CMYK converted to sRGB through its profile",)


def test_a_phone_picture_with_a_second_one_behind_it_gives_the_first(tmp_path):
    first, second = Image.fromarray(colours()), Image.fromarray(colours(seed=1))
    data = saved(first, "MPO", save_all=True, append_images=[second])
    picture = read(put(tmp_path, data))
    np.testing.assert_array_equal(picture.pixels, np.asarray(Image.open(io.BytesIO(data))))
    assert picture.format == "JPEG" and picture.notes == ("the first of 2 pictures in the file used",)


def test_the_suffix_plays_no_part(tmp_path):
    assert read(put(tmp_path, saved(Image.fromarray(colours()), "PNG"), "a.jpg")).format == "PNG"


def test_more_frames_can_be_allowed(tmp_path):
    pages = [Image.fromarray(colours(seed=seed)) for seed in range(3)]
    path = put(tmp_path, saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    with pytest.raises(PictureError, match="has 3 frames or pages; export one of them"):
        read(path)
    picture = read(path, Limits(max_frames=3))
    np.testing.assert_array_equal(picture.pixels, colours())
    assert picture.notes == ("the first of 3 pictures in the file used",)


def test_content_hash_sees_pixels_alpha_and_shape_only():
    pixels, alpha = colours(), colours()[..., 0]
    base = content_hash(Picture(pixels))
    assert base == content_hash(Picture(pixels.copy(), icc=profile(), format="TIFF", notes=("x",), dpi=(72, 72)))
    changed = pixels.copy()
    changed[0, 0, 0] ^= 1
    others = [Picture(changed), Picture(pixels, alpha=alpha), Picture(pixels, alpha=alpha ^ 1)]
    others.append(Picture(pixels.reshape(56, 40, 3)))
    assert len({base, *map(content_hash, others)}) == 5
    assert content_hash(Picture(np.asfortranarray(pixels))) == base
    assert len(base) == 64
