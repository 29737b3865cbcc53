"""Facts about a file's samples that Pillow does not report: bits a sample, grey with alpha, PNG colour chunks."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from unlearnable.images.formats import SUFFIXES, sniff

_COLOUR = (b"gAMA", b"cHRM", b"sRGB", b"cICP")


@dataclass(frozen=True)
class Header:
    """`kind` is the format, `bits` are per sample, `grey` means one channel besides alpha, `white_is_zero` inverted."""

    kind: str
    bits: int = 8
    grey: bool = False
    white_is_zero: bool = False
    colour_chunks: tuple[tuple[bytes, bytes], ...] = ()


def header(image: Image.Image, kind: str, data: bytes) -> Header:
    """Return the facts in the header of a picture file (`data`, opened as `image`)."""
    if kind == "PNG" and data[12:16] == b"IHDR":
        return Header(kind, bits=data[24], grey=data[25] in (0, 4), colour_chunks=_png_colour(data))
    if isinstance(image, TiffImageFile):
        bits = image.tag_v2.get(258, (8,))
        return Header(
            kind,
            bits=max(bits) if isinstance(bits, tuple) else int(bits),
            grey=image.mode in ("1", "L", "LA") or image.mode.startswith("I;16"),
            white_is_zero=image.tag_v2.get(262) == 0,
        )
    if kind == "AVIF":
        place = data.find(b"pixi", 0, 4096)  # box: name, 4 bytes of version, number of channels, bits of each
        return Header(kind, bits=max(8, min(data[place + 9], 16)) if 0 <= place < len(data) - 9 else 8)
    return Header(kind)


def _png_colour(data: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return a PNG's chunks before the pixels that define the meaning of samples where there is no ICC profile."""
    chunks = []
    place = 8
    while place + 12 <= len(data) and data[place + 4 : place + 8] != b"IDAT":
        size, name = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if name in _COLOUR and size <= 32:
            chunks.append((name, data[place + 8 : place + 8 + size]))
        place += 12 + size
    return tuple(chunks)


def dimensions(path: Path) -> tuple[int, int] | None:
    """The height and width in a picture file's header, without decoding it; None where they cannot be read."""
    try:
        with path.open("rb") as file:
            kind = sniff(file.read(64))
        if kind is None or kind not in SUFFIXES.values() or kind == "HEIF":
            return None
        with Image.open(path, formats=[kind]) as image:
            return image.height, image.width
    except Exception:  # decoders raise anything on hostile bytes; `read` has a message for each
        return None
