"""Inputs that bite. Each must end in one clear sentence that names the file, quickly, and leave the file as it was."""

import io
import os
import socket
import struct
import time
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from unlearnable.errors import PictureError, shown
from unlearnable.images.files import Limits, find, read, target, write
from unlearnable.images.metadata import clean_xmp


def chunk(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def png(width: int, height: int, chunks: bytes, colour_type: int = 2) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunks + chunk(b"IEND", b"")


def saved(format: str, size=(64, 48), **options) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, format, **options)
    return file.getvalue()


def frames(format: str, count: int) -> bytes:
    pictures = [Image.new("RGB", (32, 32), (20 * i, 0, 0)) for i in range(count)]
    file = io.BytesIO()
    pictures[0].save(file, format, save_all=True, append_images=pictures[1:])
    return file.getvalue()


def bmp_header(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)


def tiff_header(width: int, height: int) -> bytes:
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1)]
    tags += [(278, 4, height), (279, 4, 10)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0" * 4


def jpeg_header(width: int, height: int) -> bytes:
    """A real JPEG whose frame header is made to announce another size."""
    data = saved("JPEG", (16, 16))
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


def webp_header(width: int, height: int) -> bytes:
    body = b"VP8L" + struct.pack("<I", 10) + b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\0" * 5
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


LARGE = r"but at most 50 million pixels are accepted; make it smaller"
DAMAGED = r"is a damaged, cut-off or unusual {} file; export it again as an 8-bit PNG"
FRAMES = r"has {} frames or pages; export one of them as a file of its own"
NONE = r"is not a picture that can be read; export it as one of PNG, JPEG, WebP, TIFF, BMP, AVIF"

FILES = {
    "zero bytes.png": (b"", "is empty; export or download it again"),
    "one byte.png": (b"\x89", NONE),
    "text.jpg": (b"hello, I am a picture", NONE),
    "zeros.tif": (bytes(5000), NONE),
    "script.png": (b"#!/bin/sh\necho owned\n", NONE),
    "postscript.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n", "is EPS, which is not accepted; export"),
    "dos eps.png": (b"\xc5\xd0\xd3\xc6" + bytes(100), "is EPS, which is not accepted; export"),
    "portable.png": (b"%PDF-1.7\n", "is PDF, which is not accepted; export"),
    "animation.png": (b"GIF89a" + bytes(100), "is GIF, which is not accepted; export"),
    "vector.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is SVG, which is not accepted; export"),
    "layers.png": (b"8BPS\0\1" + bytes(50), "is PSD, which is not accepted; export"),
    "movie.avif": (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", NONE),
    "bomb.png": (png(60_000, 60_000, chunk(b"IDAT", zlib.compress(bytes(10_000)))), LARGE),
    "smaller bomb.png": (
        png(10_000, 10_000, chunk(b"IDAT", zlib.compress(bytes(10_000)))),
        "10000 x 10000 px " + LARGE,
    ),
    "bomb.jpg": (jpeg_header(65_500, 65_500), LARGE),
    "bomb.bmp": (bmp_header(2**31 - 1, 2**31 - 1), LARGE),
    "bomb.tif": (tiff_header(2**32 - 1, 2**32 - 1), LARGE),
    "bomb.webp": (webp_header(16_383, 16_383), LARGE),
    "zero sides.png": (png(0, 100, chunk(b"IDAT", zlib.compress(b""))), r"0 x 100 px|damaged"),
    "long.png": (png(65_535, 1, chunk(b"IDAT", zlib.compress(bytes(200_000)))), "65535 x 1 px; its shorter side must"),
    "tall.jpg": (jpeg_header(1, 65_535), "1 x 65535 px; its shorter side must have at least 16"),
    "small.png": (saved("PNG", (100, 15)), "100 x 15 px; its shorter side must have at least 16"),
    "animated.png": (frames("PNG", 12), FRAMES.format(12)),
    "animated.webp": (frames("WEBP", 5), FRAMES.format(5)),
    "animated.avif": (frames("AVIF", 3), FRAMES.format(3)),
    "pages.tif": (frames("TIFF", 2), FRAMES.format(2)),
    "no pixels.png": (png(64, 64, b""), DAMAGED.format("PNG")),
    "not deflate.png": (png(64, 64, chunk(b"IDAT", b"garbage garbage")), DAMAGED.format("PNG")),
    "text bomb.png": (
        png(64, 64, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(80 * 2**20))) + chunk(b"IDAT", b"x")),
        DAMAGED.format("PNG"),
    ),
    "two kinds.png": (saved("PNG")[:8] + saved("JPEG"), DAMAGED.format("PNG")),
    "64 bits.tif": (
        tiff_header(64, 64).replace(struct.pack("<HHII", 258, 3, 1, 8), struct.pack("<HHII", 258, 3, 1, 64)),
        DAMAGED.format("TIFF"),
    ),
}
for _format, _suffix in [
    ("PNG", "png"),
    ("JPEG", "jpg"),
    ("WEBP", "webp"),
    ("TIFF", "tif"),
    ("BMP", "bmp"),
    ("AVIF", "avif"),
]:
    _whole = saved(_format)
    for _share in (0.95, 0.5, 0.1):
        FILES[f"cut at {_share:.0%}.{_suffix}"] = (_whole[: int(len(_whole) * _share)], DAMAGED.format(_format))
FILES["magic only.tif"] = (b"II*\0", DAMAGED.format("TIFF"))
FILES["magic only.png"] = (b"\x89PNG\r\n\x1a\n", DAMAGED.format("PNG"))
FILES["magic only.webp"] = (b"RIFF\0\0\0\0WEBP", DAMAGED.format("WEBP"))


@pytest.mark.parametrize("name", FILES)
def test_one_clear_sentence(tmp_path, name):
    data, sentence = FILES[name]
    path = tmp_path / name
    path.write_bytes(data)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no warning of the decoder may leak
        with pytest.raises(PictureError, match=sentence) as error:
            read(path)
    said = str(error.value)
    assert (
        said.startswith(str(path)) and "\n" not in said and "BytesIO" not in said and len(said) < len(str(path)) + 200
    )
    assert time.perf_counter() - start < 2
    assert path.read_bytes() == data and os.listdir(tmp_path) == [name]


def test_bombs_are_refused_before_memory_is_taken(tmp_path):
    for name in ("bomb.png", "smaller bomb.png", "bomb.jpg", "bomb.tif"):
        (tmp_path / name).write_bytes(FILES[name][0])
        tracemalloc.start()
        with pytest.raises(PictureError, match=LARGE):
            read(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 5 * 2**20
        tracemalloc.stop()


def test_the_hosts_own_pixel_limit_does_not_leak_either(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(saved("PNG"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(PictureError, match=r"is too large but at most 0\.0002 million pixels are accepted"):
        read(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48 - 1)  # Pillow only warns here
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(tmp_path / "a.png").pixels.shape == (48, 64, 3)


def test_only_the_announced_decoder_sees_a_file(tmp_path, monkeypatch):
    """Pillow, left alone, tries every decoder it knows on the content, one of which runs Ghostscript."""
    asked = []
    real = Image.open

    def watched(file, mode="r", formats=None):
        asked.append(formats)
        return real(file, mode, formats)

    monkeypatch.setattr(Image, "open", watched)
    for format in ("PNG", "TIFF", "WEBP"):
        (tmp_path / "a.jpg").write_bytes(saved(format))
        read(tmp_path / "a.jpg")
    (tmp_path / "b.png").write_bytes(FILES["postscript.png"][0])
    with pytest.raises(PictureError, match="is EPS"):
        read(tmp_path / "b.png")
    assert asked == [["PNG"], ["TIFF"], ["WEBP"]]


def test_file_size_limit_holds_before_reading(tmp_path):
    path = tmp_path / "huge.png"
    with open(path, "wb") as file:
        file.truncate(200 * 2**20)  # sparse
    tracemalloc.start()
    with pytest.raises(PictureError, match="is larger than 100 MB; export a smaller file or split it"):
        read(path)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
    (tmp_path / "a.png").write_bytes(saved("PNG"))
    with pytest.raises(PictureError, match=r"is larger than 0\.000953674 MB"):
        read(tmp_path / "a.png", Limits(max_bytes=1000))


def make(path, kind):
    if kind == "folder":
        path.mkdir()
    elif kind == "broken link":
        path.symlink_to("nowhere")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "endless device":
        path.symlink_to("/dev/zero")
    elif kind == "terminal-like device":
        path.symlink_to("/dev/full")


@pytest.mark.parametrize(
    "kind,sentence",
    [
        ("folder", "is a folder; name the files inside it"),
        ("broken link", "does not exist; check the name"),
        ("nothing", "does not exist; check the name"),
        ("loop", "cannot be read .*; check the disk and the name"),
        ("pipe", "is not a file but a device or a pipe"),
        ("endless device", "is not a file but a device or a pipe"),
        ("terminal-like device", "is not a file but a device or a pipe"),
    ],
)
def test_things_that_are_not_files(tmp_path, kind, sentence):
    path = tmp_path / "a.png"
    make(path, kind)
    start = time.perf_counter()
    with pytest.raises(PictureError, match=sentence):
        read(path)
    assert time.perf_counter() - start < 1  # a pipe nobody writes to must not be waited for


def test_socket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the address of a socket has little room
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("a.png")
        with pytest.raises(PictureError, match=r"a\.png cannot be read"):
            read("a.png")


def test_unreadable_file(tmp_path, monkeypatch):
    """By the call that fails rather than by permission bits, which do not bind root."""

    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.png").write_bytes(saved("PNG"))
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PictureError, match=r"a\.png may not be read by you; change its permissions"):
        read(tmp_path / "a.png")


def test_a_disk_that_fails_while_reading(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(saved("PNG"))

    def fail(*arguments):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", fail)
        with pytest.raises(PictureError, match=r"cannot be read \(Input/output error\); check the disk"):
            read(tmp_path / "a.png")


NAMES = [
    "\u202egnp.exe.png",  # right-to-left override
    "a\nb.png",
    "\x1b[31mred\x1b[0m.png",
    "\U0001f600 \u00e9\u4f60\u597d.png",
    os.fsdecode(b"latin-\xe9.png"),
    "-rf.png",
    "%s{0}$(id)`id`.png",
    " leading and trailing .png",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_odd_names_work_and_are_safe_to_show(tmp_path, name):
    source, out = tmp_path / "in" / name, tmp_path / "out"
    source.parent.mkdir()
    source.write_bytes(saved("PNG"))
    ((found, relative),) = find([source.parent], False, out)
    path = target(out, relative)
    write(read(found), path)
    assert os.listdir(out) == [name] and read(path).pixels.shape == (48, 64, 3)
    source.write_bytes(b"")
    with pytest.raises(PictureError) as error:
        read(source)
    said = str(error.value)
    assert said.isprintable() and said.encode() and said == f"{shown(source)} is empty; export or download it again"


@pytest.mark.parametrize("name", ["../x.png", "/tmp/x.png", "a/../../x.png"])
def test_names_that_climb_write_nothing(tmp_path, name):
    with pytest.raises(PictureError, match="outside the output folder"):
        target(tmp_path / "out", name)
    assert not list(tmp_path.iterdir())


def test_null_character(tmp_path):
    with pytest.raises(PictureError, match=r"a\\x00.png is not a valid file name"):
        read(tmp_path / "a\0.png")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "AVIF"])
def test_random_damage_never_ends_in_another_error(tmp_path, format):
    """200 files with random bytes changed: each is read as some picture or refused by a PictureError."""
    rng = np.random.default_rng(7)
    options = {"exif": Image.Exif(), "icc_profile": b"x" * 140} if format != "BMP" else {}
    if options:
        options["exif"][0x0112] = 6
        options["exif"][0x8769] = {0x9003: "2024"}
        options["exif"] = options["exif"].tobytes()
    whole = np.frombuffer(saved(format, (24, 20), **options), np.uint8)
    refused = 0
    path = tmp_path / "a"
    for _ in range(200):
        data = whole.copy()
        early = rng.random() < 0.7  # headers are where it hurts
        places = rng.integers(4, min(200, len(data)) if early else len(data), rng.integers(1, 6))
        data[places] = rng.integers(0, 256, len(places))
        path.write_bytes(data.tobytes())
        try:
            picture = read(path, Limits(max_pixels=10_000))
            assert picture.pixels.dtype == np.uint8 and picture.pixels.shape[2] == 3
        except PictureError as error:
            refused += 1
            assert str(error).startswith(str(path))
    assert refused > 5


def test_xmp_made_to_be_slow(tmp_path):
    start = time.perf_counter()
    assert clean_xmp(b"<xmp:Thumbnails>" * 200_000) is None
    assert clean_xmp(b"<xmp:Thumbnails></xmp:Thumbnails>" * 100_000) == b""
    assert clean_xmp(b" " * 2_000_000 + b"x") == b" " * 2_000_000 + b"x"
    assert clean_xmp(b' tiff:Orientation="' * 100_000) is not None
    assert clean_xmp(b"<tiff:Orientation>" * 100_000) is not None
    assert time.perf_counter() - start < 2
