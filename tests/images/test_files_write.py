"""Writing: the same pixels, alpha and colour come back, nothing personal leaves, and no file is ever half there."""

import errno
import io
import os
import re
import resource

import numpy as np
import pytest
from crafted import chunk, colours, png, profile
from PIL import ExifTags, Image, ImageCms

from unlearnable.errors import PictureError, UsageError, WriteError
from unlearnable.images.files import Picture, is_lossless, output_format, output_name, read, write

LOSSLESS = {"PNG": ".png", "WEBP": ".webp", "TIFF": ".tif", "BMP": ".bmp"}
SECRET = b"Secret Street 5"


def opened(path):
    image = Image.open(path)
    image.load()
    return image


@pytest.mark.parametrize("format", LOSSLESS)
@pytest.mark.parametrize("kind", ["colour", "grey", "colour alpha", "grey alpha"])
def test_lossless_round_trip_is_exact(tmp_path, format, kind):
    alpha = np.random.default_rng(0).integers(0, 256, (40, 56), dtype=np.uint8) if "alpha" in kind else None
    pixels = np.repeat(colours()[..., :1], 3, axis=2) if "grey" in kind else colours()
    picture = Picture(pixels, grey="grey" in kind, alpha=alpha, dpi=(300, 200))
    if format == "BMP" and alpha is not None:
        with pytest.raises(PictureError, match="would lose its transparency or colour profile as a BMP; choose png"):
            write(picture, tmp_path / "a.bmp")
        return
    path = tmp_path / f"a{LOSSLESS[format]}"
    write(picture, path)
    stored = opened(path)
    back = read(path)
    assert stored.format == format == back.format
    assert format != "TIFF" or stored.info["compression"] == "tiff_adobe_deflate"
    np.testing.assert_array_equal(back.pixels, pixels)
    assert (back.alpha is None) == (alpha is None)
    if alpha is not None:
        np.testing.assert_array_equal(back.alpha, alpha)  # the colour under clear pixels was compared above
    if format != "WEBP":  # has neither grey nor a resolution
        assert stored.mode == {"colour": "RGB", "grey": "L", "colour alpha": "RGBA", "grey alpha": "LA"}[kind]
        assert back.dpi == pytest.approx((300, 200), abs=0.1)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("format,quality", [("JPEG", None), ("AVIF", None), ("WEBP", 90), ("JPEG", 60)])
def test_lossy_when_asked(tmp_path, format, quality):
    path = tmp_path / "a.bin"
    write(Picture(colours()), path, format=format, quality=quality)
    assert opened(path).format == format
    error = np.abs(read(path).pixels.astype(int) - colours())
    assert 0 < error.mean() < 4 and not is_lossless(format, quality)
    if format == "JPEG":
        assert all(layer[1:3] == (1, 1) for layer in opened(path).layer)  # colour is not halved


def test_quality_matters(tmp_path):
    for quality in (40, 95):
        write(Picture(colours()), tmp_path / f"{quality}.jpg", format="JPEG", quality=quality)
    assert (tmp_path / "40.jpg").stat().st_size < 0.7 * (tmp_path / "95.jpg").stat().st_size


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "JPEG", "AVIF"])
@pytest.mark.parametrize("space", [b"RGB ", b"GRAY"])
def test_profile_is_written_byte_for_byte(tmp_path, format, space):
    if space == b"GRAY" and format in ("WEBP", "AVIF"):
        space = b"RGB "  # these have no grey
    grey = space == b"GRAY"
    pixels = np.repeat(colours()[..., :1], 3, axis=2) if grey else colours()
    write(Picture(pixels, grey=grey, icc=profile(space)), tmp_path / "a", format=format)
    assert opened(tmp_path / "a").info["icc_profile"] == profile(space)
    assert read(tmp_path / "a").icc == profile(space)


def test_a_p3_photo_does_not_change_colour(tmp_path):
    file = io.BytesIO()
    Image.fromarray(colours()).save(file, "JPEG", icc_profile=profile(), quality=95)
    (tmp_path / "in.jpg").write_bytes(file.getvalue())
    write(read(tmp_path / "in.jpg"), tmp_path / "out.png")

    def as_seen(path):
        image = opened(path)
        source = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        return np.asarray(ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB")))

    np.testing.assert_array_equal(as_seen(tmp_path / "in.jpg"), as_seen(tmp_path / "out.png"))
    assert np.abs(as_seen(tmp_path / "out.png").astype(int) - opened(tmp_path / "out.png")).max() > 20  # P3 is not sRGB


def test_png_colour_chunks_are_carried(tmp_path):
    extra = chunk(b"gAMA", (100_000).to_bytes(4, "big")) + chunk(b"cICP", bytes([12, 13, 0, 1]))
    (tmp_path / "in.png").write_bytes(png(colours(), 8, 2, extra=extra + chunk(b"tEXt", b"Comment\0" + SECRET)))
    write(read(tmp_path / "in.png"), tmp_path / "out.png")
    data = (tmp_path / "out.png").read_bytes()
    assert chunk(b"gAMA", (100_000).to_bytes(4, "big")) in data and chunk(b"cICP", bytes([12, 13, 0, 1])) in data
    assert SECRET not in data


def private(format: str) -> bytes:
    """A file with an address, GPS, a maker note, a thumbnail and an orientation in its EXIF and XMP."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = SECRET.decode()
    exif[0x013B] = "A. Artist"
    exif[ExifTags.IFD.Exif] = {0x9003: "2024:01:02 03:04:05", 0x927C: b"MAKERNOTE", 0xA002: 1, 0xA003: 1}
    exif[ExifTags.IFD.GPSInfo] = {1: "N", 2: (48.0, 8.0, 1.0)}
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6" dc:source="' + SECRET
    xmp += b'"/><xmp:Thumbnails><rdf:li>THUMB</rdf:li></xmp:Thumbnails></x:xmpmeta>'
    options = {"exif": exif, "xmp": xmp}
    if format == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        info.add_text("Comment", SECRET.decode())
        options = {"exif": exif, "pnginfo": info}
    if format == "TIFF":
        nested = Image.Exif()
        nested.load(exif.tobytes())
        nested[700] = xmp
        options = {"tiffinfo": nested}
    if format == "JPEG":
        options["comment"] = SECRET
    if format == "WEBP":
        options["lossless"] = True
    file = io.BytesIO()
    Image.fromarray(colours()).save(file, format, **options)
    return file.getvalue()


SOURCES = ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("out", SOURCES)
def test_nothing_personal_is_written_by_default(tmp_path, source, out):
    (tmp_path / "in").write_bytes(private(source))
    assert SECRET in (tmp_path / "in").read_bytes()
    write(read(tmp_path / "in"), tmp_path / "out", format=out)
    image = opened(tmp_path / "out")
    data = (tmp_path / "out").read_bytes()
    assert not any(word in data for word in (SECRET, b"Artist", b"MAKERNOTE", b"2024:01:02", b"THUMB", b"xmpmeta"))
    personal = {tag for tag in image.getexif() if out != "TIFF" or tag >= 0x8000 or tag in (0x010E, 0x0112, 0x013B)}
    assert not personal and "comment" not in image.info and not image.getexif().get_ifd(ExifTags.IFD.GPSInfo)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("out", SOURCES)
def test_metadata_is_kept_on_request_but_nothing_stale(tmp_path, source, out):
    (tmp_path / "in").write_bytes(private(source))
    picture = read(tmp_path / "in")
    write(picture, tmp_path / "out", format=out, keep_metadata=True)
    image = opened(tmp_path / "out")
    exif = image.getexif()
    photo = exif.get_ifd(ExifTags.IFD.Exif)
    assert exif[0x010E] == SECRET.decode() and exif[0x013B] == "A. Artist"
    assert photo[0x9003] == "2024:01:02 03:04:05"
    assert (photo[0xA002], photo[0xA003]) == (40, 56) == image.size
    assert exif.get_ifd(ExifTags.IFD.GPSInfo)[2] == (48.0, 8.0, 1.0)
    data = (tmp_path / "out").read_bytes()
    assert 0x0112 not in exif and b"MAKERNOTE" not in data and b"THUMB" not in data
    assert SECRET in image.info["xmp"] and b"Orientation" not in image.info["xmp"]
    np.testing.assert_array_equal(read(tmp_path / "out").pixels.shape, picture.pixels.shape)  # not turned twice


def test_embedded_thumbnail_does_not_survive(tmp_path):
    """A camera's EXIF holds a small copy of the unprotected picture; kept metadata must not bring it along."""
    head = b"Exif\0\0II*\0\x08\0\0\0"
    first = b"\x01\0" + bytes.fromhex("3b01 0200 04000000") + b"Me!\0" + (26).to_bytes(4, "little")
    thumb = b"\xff\xd8THUMBNAIL\xff\xd9"
    second = b"\x02\0" + bytes.fromhex("0102 0400 01000000") + (56).to_bytes(4, "little")
    second += bytes.fromhex("0202 0400 01000000") + len(thumb).to_bytes(4, "little") + b"\0" * 4
    file = io.BytesIO()
    Image.fromarray(colours()).save(file, "JPEG", exif=head + first + second + thumb)
    assert Image.open(file).getexif().get_ifd(ExifTags.IFD.IFD1)[0x0201] == 56  # it is a thumbnail to Pillow
    (tmp_path / "in").write_bytes(file.getvalue())
    write(read(tmp_path / "in"), tmp_path / "out", format="JPEG", keep_metadata=True)
    data = (tmp_path / "out").read_bytes()
    assert b"Me!" in data and b"THUMBNAIL" not in data


@pytest.mark.parametrize(
    "given,wanted,plain,expected",
    [
        ("PNG", None, True, ("PNG", ".png")),
        ("JPEG", None, True, ("PNG", ".png")),
        ("WEBP", None, True, ("WEBP", ".webp")),
        ("TIFF", None, False, ("TIFF", ".tif")),
        ("BMP", None, True, ("BMP", ".bmp")),
        ("BMP", None, False, ("PNG", ".png")),
        ("AVIF", None, True, ("PNG", ".png")),
        ("HEIF", None, True, ("PNG", ".png")),
        ("PNG", "jpeg", True, ("JPEG", ".jpg")),
        ("PNG", ".JPG", True, ("JPEG", ".jpg")),
        ("PNG", "avif", False, ("AVIF", ".avif")),
        ("JPEG", "TIFF", True, ("TIFF", ".tif")),
    ],
)
def test_output_format(given, wanted, plain, expected):
    assert output_format(given, wanted, plain=plain) == expected
    assert is_lossless(expected[0]) == (expected[0] not in ("JPEG", "AVIF"))


@pytest.mark.parametrize("wanted", ["gif", "heic", "", "png;rm", "tiff2"])
def test_unknown_output_format(wanted):
    with pytest.raises(UsageError, match=re.escape(f"cannot write the format {wanted!r}; choose one of png")):
        output_format("PNG", wanted)


@pytest.mark.parametrize(
    "name,format,expected",
    [
        ("a/b.jpg", "PNG", "a/b.png"),
        ("a.TIFF", "TIFF", "a.TIFF"),
        ("a.png", "JPEG", "a.jpg"),
        ("me.v2", "PNG", "me.v2.png"),
        ("me", "WEBP", "me.webp"),
        ("x.y.jpeg", "JPEG", "x.y.jpeg"),
    ],
)
def test_output_name(tmp_path, name, format, expected):
    assert output_name(tmp_path / name, format) == tmp_path / expected


def test_lossy_suffix_alone_is_not_asking(tmp_path):
    for name in ("a.jpg", "a.avif", "a.heic", "a"):
        with pytest.raises(UsageError, match="does not name a lossless format"):
            write(Picture(colours()), tmp_path / name)
    with pytest.raises(UsageError, match="quality 0 is out of range; use 1 to 100"):
        write(Picture(colours()), tmp_path / "a.jpg", format="JPEG", quality=0)
    with pytest.raises(UsageError, match="cannot write the format 'EPS'"):
        write(Picture(colours()), tmp_path / "a.eps", format="EPS")
    assert not list(tmp_path.iterdir())


def test_jpeg_refuses_transparency(tmp_path):
    with pytest.raises(PictureError, match="would lose its transparency as a JPEG; choose png, webp or avif"):
        write(Picture(colours(), alpha=colours()[..., 0]), tmp_path / "a.jpg", format="JPEG")


@pytest.mark.parametrize("format,side", [("JPEG", 65_501), ("WEBP", 16_384), ("AVIF", 65_536)])
def test_sides_that_a_format_cannot_hold(tmp_path, format, side):
    with pytest.raises(PictureError, match=f"has a side of {side} px but {format} holds at most"):
        write(Picture(np.zeros((16, side, 3), np.uint8)), tmp_path / "a", format=format)


def test_metadata_too_large_for_a_jpeg(tmp_path):
    with pytest.raises(PictureError, match="leave its metadata out"):
        write(Picture(colours(), xmp=b"x" * 70_000), tmp_path / "a", format="JPEG", keep_metadata=True)


def test_grey_with_unequal_channels_is_a_programming_error(tmp_path):
    with pytest.raises(ValueError, match="three equal channels"):
        write(Picture(colours(), grey=True), tmp_path / "a.png")


def test_same_picture_gives_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        write(Picture(colours(), icc=profile()), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_missing_folders_are_made_and_the_umask_holds(tmp_path):
    path = tmp_path / "x" / "y" / "a.png"
    old = os.umask(0o027)
    try:
        write(Picture(colours()), path)
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
@pytest.mark.parametrize(
    "code,sentence",
    [
        (errno.ENOSPC, "was not written as the disk is full; free some space and run again"),
        (errno.EDQUOT, "was not written as the disk is full"),
        (errno.EACCES, "may not be written; choose an output folder"),
        (errno.EROFS, "may not be written; choose an output folder"),
        (errno.EIO, "could not be written (Input/output error); check the output folder"),
    ],
)
def test_a_failing_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call, code, sentence):
    path = tmp_path / "a.png"
    path.write_bytes(b"the old file")

    def fail(*arguments, **options):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(WriteError, match=re.escape(f"{path} {sentence}")):
            write(Picture(colours()), path)
    assert path.read_bytes() == b"the old file" and os.listdir(tmp_path) == ["a.png"]


def test_a_disk_that_really_fills_up_while_writing(tmp_path):
    """The kernel's own limit on the size of a file stops the write in the middle, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = tmp_path / "a.png"
    path.write_bytes(b"the old file")
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(WriteError, match="the disk is full"):
            write(Picture(noise), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"the old file" and os.listdir(tmp_path) == ["a.png"]
    write(Picture(noise), path)
    np.testing.assert_array_equal(read(path).pixels, noise)


def test_interruption_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(Picture(colours()), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_leftover_of_a_killed_run_is_replaced_and_planted_links_are_not_followed(tmp_path, monkeypatch):
    path, victim = tmp_path / "out" / "a.png", tmp_path / "victim"
    victim.write_bytes(b"precious")
    names = []
    real = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (names.append(a), real(a, b)))
    write(Picture(colours()), path)
    assert names[0].name.startswith(".")  # hidden, so that a walk over the folder passes it by
    path.unlink()
    os.symlink(victim, names[0])
    os.symlink(victim, path)
    write(Picture(colours()), path)
    assert victim.read_bytes() == b"precious" and not path.is_symlink()
    np.testing.assert_array_equal(read(path).pixels, colours())
    assert os.listdir(path.parent) == ["a.png"]


def test_things_in_the_way(tmp_path):
    (tmp_path / "a.png").mkdir()
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "a.png", tmp_path / "file" / "b.png"):
        with pytest.raises(WriteError, match="of that name is in the way; move it"):
            write(Picture(colours()), path)
    with pytest.raises(WriteError, match="is not a name this disk accepts; shorten or rename"):
        write(Picture(colours()), tmp_path / f"{'a' * 300}.png")
    assert sorted(os.listdir(tmp_path)) == ["a.png", "file"]


def test_longest_names_still_work(tmp_path):
    path = tmp_path / f"{'a' * 251}.png"  # the temporary name must not be longer than the name itself may be
    write(Picture(colours()), path)
    assert path.is_file()
