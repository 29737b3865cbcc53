"""EXIF, XMP and the orientation: reading them, and the parts that may be written back."""

import re
from typing import Any

import numpy as np
from PIL import ExifTags, Image

# Descriptive tags only: a TIFF keeps its structure (strips, compression), and Photoshop a thumbnail, among its tags.
_KEPT = (
    *(0x010E, 0x010F, 0x0110),  # description, make, model
    *(0x0131, 0x0132, 0x013B, 0x013C),  # software, date, artist, host
    *(0x4746, 0x4749, 0x8298),  # rating, rating percent, copyright
    *range(0x9C9B, 0x9CA0),  # title, comment, author, keywords, subject (Windows)
)
_STRUCTURE = ("XML:com.adobe.xmp",)
_WIDTH, _HEIGHT, _MAKER_NOTE, _INTEROP = 0xA002, 0xA003, 0x927C, 0xA005
_XMP_STALE = tuple(
    re.compile(pattern)
    for pattern in (
        rb"\s(?:tiff:Orientation|exif:Pixel[XY]Dimension|tiff:Image(?:Width|Length))\s*=\s*(\"[^\"]*\"|'[^']*')",
        rb"<(tiff:Orientation|exif:Pixel[XY]Dimension|tiff:Image(?:Width|Length))>[^<]*</\1>",
    )
)


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of a loaded image, 1 to 8; 1 where it is missing or invalid.

    An orientation that is only in the XMP is ignored, as viewers ignore it too.
    """
    try:
        value = _exif(image).get(ExifTags.Base.Orientation, 1)
    except Exception:  # a stranger's EXIF can fail anywhere in the parser; the pixels are good without it
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def upright(samples: np.ndarray, orientation: int) -> np.ndarray:
    """Return `samples` [h, w, ...] turned and mirrored according to the EXIF orientation (1 to 8)."""
    if orientation in (5, 6, 7, 8):  # stored by columns
        samples = samples.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    return np.ascontiguousarray(samples)


def clean_exif(image: Image.Image, height: int, width: int) -> bytes | None:
    """Return the descriptive part of an image's EXIF, GPS included, for an upright picture of `height` x `width` px.

    Left out: the orientation (applied already), thumbnails and maker notes (both hold small copies of the unprotected
    picture), and the tags that describe the old file's structure. None if nothing is left or the EXIF is damaged.
    """
    try:
        return _descriptive(_exif(image), height, width)
    except Exception:  # as above
        return None


def resized(exif: bytes, height: int, width: int) -> bytes | None:
    """The EXIF that `clean_exif` gave, for a picture that was scaled to `height` x `width` px since."""
    source = Image.Exif()
    source.load(exif)
    return _descriptive(source, height, width)


def clean_xmp(xmp: object) -> bytes | None:
    """Return an XMP packet without orientation, size and thumbnails (stale once the picture is upright), or None."""
    if isinstance(xmp, str):
        xmp = xmp.encode()
    if not isinstance(xmp, bytes) or not xmp:
        return None
    for pattern in _XMP_STALE:
        xmp = pattern.sub(b"", xmp)
    for name in (b"xmp:Thumbnails", b"xap:Thumbnails"):
        pieces, place = [], 0
        while (start := xmp.find(b"<" + name, place)) >= 0:  # a pattern would take quadratic time on a hostile packet
            end = xmp.find(b"</" + name + b">", start)
            if end < 0:
                return None
            pieces.append(xmp[place:start])
            place = end + len(name) + 3
        xmp = b"".join([*pieces, xmp[place:]])
    return xmp


def texts(image: Image.Image) -> tuple[tuple[str, str], ...]:
    """Return a PNG's texts (author, copyright, a generator's settings ...) without XMP and raw profiles."""
    chunks = getattr(image, "text", None)
    if not isinstance(chunks, dict):
        return ()
    entries = {str(key): str(value) for key, value in chunks.items() if key not in _STRUCTURE}
    return tuple((key, value) for key, value in entries.items() if not key.startswith("Raw profile type"))


def resolution(image: Image.Image, turned: bool) -> tuple[float, float] | None:
    """Return the printing resolution (pixels per inch across, down), or None if invalid; `turned` swaps the two."""
    dpi = image.info.get("dpi")
    if not isinstance(dpi, tuple) or len(dpi) != 2:
        return None
    across, down = (float(value) for value in dpi)
    if not (1 <= across <= 65535 and 1 <= down <= 65535):  # also false for nan
        return None
    return (down, across) if turned else (across, down)


def _descriptive(source: Image.Exif, height: int, width: int) -> bytes | None:
    tags = Image.Exif()
    for tag in _KEPT:
        if tag in source:
            tags[tag] = source[tag]
    photo: dict[int, Any] = dict(source.get_ifd(ExifTags.IFD.Exif))
    for tag in (_MAKER_NOTE, _INTEROP):
        photo.pop(tag, None)
    if photo:
        tags[ExifTags.IFD.Exif] = {**photo, _WIDTH: width, _HEIGHT: height}
    if place := dict(source.get_ifd(ExifTags.IFD.GPSInfo)):
        tags[ExifTags.IFD.GPSInfo] = place
    return tags.tobytes() if len(tags) else None


def _exif(image: Image.Image) -> Image.Exif:
    for key in ("xmp", "XML:com.adobe.xmp"):
        image.info.pop(key, None)  # Pillow would take an orientation from there
    return image.getexif()
