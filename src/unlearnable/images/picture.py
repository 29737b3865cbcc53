"""A decoded picture: the pixels that a protection may change, and the rest, which it leaves as it is."""

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Picture:
    """One upright picture of 8 bits a sample.

    pixels    uint8 [h, w, 3]; a grey picture has three equal channels
    grey      True if the file had one channel; it is written back with one
    alpha     uint8 [h, w], straight (not premultiplied), or None
    icc       colour profile of `pixels`, byte for byte as in the file, or None
    exif, xmp cleaned metadata (no orientation, no thumbnails); written only with ``keep_metadata=True``
    format    Pillow's name of the input format: "PNG", "JPEG", "WEBP", "TIFF", "BMP", "AVIF" or "HEIF"
    notes     sentences on what reading changed
    dpi       pixels per inch across and down, for printing, or None
    colour_chunks  PNG chunks that say what the samples mean (gAMA, cHRM, sRGB, cICP): (name, payload) each
    text      a PNG's texts, (keyword, text) each; written only to a PNG with ``keep_metadata=True``
    """

    pixels: np.ndarray
    grey: bool = False
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    format: str = "PNG"
    notes: tuple[str, ...] = ()
    dpi: tuple[float, float] | None = None
    colour_chunks: tuple[tuple[bytes, bytes], ...] = ()
    text: tuple[tuple[str, str], ...] = ()

    @property
    def plain(self) -> bool:
        """Whether the picture is pixels only, so that even BMP holds all of it."""
        return self.alpha is None and self.icc is None


def content_hash(picture: Picture) -> str:
    """Return the sha256 (hex) of shape, pixels and alpha, which seeds noise and identifies pictures when resuming.

    Metadata, profile and file format are left out: the same pixels get the same noise.
    """
    digest = hashlib.sha256(repr(picture.pixels.shape).encode())
    digest.update(np.ascontiguousarray(picture.pixels).data)
    if picture.alpha is not None:
        digest.update(b"alpha")
        digest.update(np.ascontiguousarray(picture.alpha).data)
    return digest.hexdigest()
