"""Read one picture file into upright 8-bit pixels, scaled down if asked for, or raise an error of one sentence."""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from unlearnable.errors import PictureError, shown
from unlearnable.images import colour, metadata
from unlearnable.images.formats import accept
from unlearnable.images.header import header
from unlearnable.images.limits import DEFAULT, Limits, check_size, read_bytes, too_large
from unlearnable.images.metadata import resized
from unlearnable.images.picture import Picture


def read(path: str | os.PathLike[str], limits: Limits = DEFAULT) -> Picture:
    """Return the picture in a PNG, JPEG, WebP, TIFF, BMP or AVIF file (HEIF if pillow_heif is installed).

    The EXIF orientation is applied; 16-bit, palette, CMYK and Lab samples become 8-bit RGB or grey, each with a note.
    Format, size of the file, size in pixels and number of frames are checked before the pixels are decoded.
    Raises only PictureError if the file cannot be used: one sentence with its name and the remedy.
    """
    path = Path(path)
    data = read_bytes(path, limits)
    kind = accept(data, path)
    try:
        with warnings.catch_warnings():  # what Pillow warns about becomes an error or a note here
            warnings.simplefilter("ignore")
            return _decode(data, kind, path, limits)
    except PictureError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_large(path, min(limits.max_pixels, 2 * (Image.MAX_IMAGE_PIXELS or limits.max_pixels))) from error
    except MemoryError as error:
        raise PictureError(f"{shown(path)} does not fit into this machine's memory; make it smaller") from error
    except Exception as error:  # decoders raise anything on hostile bytes: struct.error, KeyError, SyntaxError ...
        raise PictureError(
            f"{shown(path)} is a damaged, cut-off or unusual {kind} file; export it again as an 8-bit PNG"
        ) from error


def _decode(data: bytes, kind: str, path: Path, limits: Limits) -> Picture:
    if kind == "HEIF":
        from pillow_heif import register_heif_opener

        register_heif_opener()
    with Image.open(io.BytesIO(data), formats=[kind]) as image:
        check_size(path, *image.size, limits)
        frames = _frames(image, kind, path, limits)
        facts = header(image, kind, data)
        image.load()
        check_size(path, *image.size, limits)  # some formats learn their true size while decoding
        xmp = metadata.clean_xmp(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))
        turn = metadata.orientation(image)
        samples = colour.to_samples(image, facts, path)
        pixels = metadata.upright(samples.pixels, turn)
        height, width = pixels.shape[:2]
        notes = list(samples.notes)
        if frames > 1:
            notes.append(f"the first of {frames} pictures in the file used")
        if turn != 1:
            notes.append(f"EXIF orientation {turn} applied")
        return Picture(
            pixels=pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2),
            grey=pixels.ndim == 2,
            alpha=None if samples.alpha is None else metadata.upright(samples.alpha, turn),
            icc=samples.icc,
            exif=metadata.clean_exif(image, height, width),
            xmp=xmp,
            format=kind,
            notes=tuple(notes),
            dpi=metadata.resolution(image, turned=turn >= 5),
            colour_chunks=facts.colour_chunks,
            text=metadata.texts(image),
        )


def _frames(image: Image.Image, kind: str, path: Path, limits: Limits) -> int:
    frames = int(getattr(image, "n_frames", 1))
    # A JPEG with further pictures behind it (a phone's depth or gain map, a stereo pair) shows as its first one
    if frames > limits.max_frames and kind not in ("JPEG", "HEIF"):
        raise PictureError(f"{shown(path)} has {frames} frames or pages; export one of them as a file of its own")
    return frames


def size_within(height: int, width: int, side: int) -> tuple[int, int]:
    """Height and width with the longer of them at most `side` px (0: as they are), in the same proportions."""
    longer = max(height, width)
    if not side or longer <= side:
        return height, width
    return max(1, round(height * side / longer)), max(1, round(width * side / longer))


def within(path: Path, side: int) -> Picture:
    """Read a picture file, and scale it so that its longer side has at most `side` px (0: as it is); never enlarge it.

    Raises PictureError for a file that cannot be used, and for a strip that would be thinner than any that is read.
    """
    picture = read(path)
    height, width = picture.pixels.shape[:2]
    size = size_within(height, width, side)
    if min(size) < DEFAULT.min_side:
        raise PictureError(
            f"{shown(path)} has {width} x {height} px, and would be {min(size)} px thin at a longer side of {side}: "
            "choose a larger size"
        )
    return picture if size == (height, width) else scaled(picture, *size)


def scaled(picture: Picture, height: int, width: int) -> Picture:
    """The picture at another size: Lanczos, antialiased, colours weighed by their opacity so that none bleeds."""
    samples = picture.pixels if picture.alpha is None else np.dstack([picture.pixels, picture.alpha])
    smaller = np.array(Image.fromarray(samples).resize((width, height), Image.Resampling.LANCZOS))
    before = picture.pixels.shape
    return replace(
        picture,
        pixels=np.ascontiguousarray(smaller[..., :3]),
        alpha=None if picture.alpha is None else np.ascontiguousarray(smaller[..., 3]),
        exif=picture.exif and resized(picture.exif, height, width),
        notes=(*picture.notes, f"scaled from {before[1]} x {before[0]} to {width} x {height} px"),
    )
