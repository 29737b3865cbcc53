"""Write a picture atomically, with its alpha, its colour profile and, if asked for, its metadata."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from unlearnable.errors import PictureError, UsageError, shown
from unlearnable.images.formats import LOSSLESS, LOSSY, SUFFIXES
from unlearnable.images.picture import Picture
from unlearnable.storage.atomic import write_bytes

_XMP_TAG = 700
_PREDICTOR_TAG = 317
_MAX_SIDE = {"JPEG": 65_500, "WEBP": 16_383, "AVIF": 65_535}


def write(
    picture: Picture,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    quality: int | None = None,
    keep_metadata: bool = False,
    mode: int | None = None,
) -> None:
    """Write `picture` to `path` atomically: at any time the path holds either the old or the complete new file.

    format         Pillow's name, from `output_format`; None takes it from the suffix if that format is lossless
    quality        1 to 100 for a lossy file; None is 95 for JPEG, 90 for AVIF, and lossless for WebP
    keep_metadata  also write the cleaned EXIF (GPS included), XMP and a PNG's texts
    mode           permissions (see `mode_of`), less those that the umask removes; None is the umask's default

    Raises UsageError for an invalid format or quality, PictureError if the format cannot hold this picture, and
    WriteError (a PictureError) if the file cannot be written, such as on a full disk. Missing folders are made.
    """
    path = Path(path)
    if format is None:
        format = SUFFIXES.get(path.suffix.lower())
        if format not in LOSSLESS:
            raise UsageError(
                f"{shown(path)} does not name a lossless format; use .png, or ask for a lossy one by format"
            )
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"quality {quality} is out of range; use 1 to 100")
    data = encode(picture, path, format=format, quality=quality, keep_metadata=keep_metadata)
    write_bytes(path, data, 0o666 if mode is None else mode)


def mode_of(source: str | os.PathLike[str]) -> int | None:
    """The permissions of a file that is made from `source`: the same ones, with write permission for the owner."""
    try:
        return os.stat(source).st_mode & 0o666 | 0o200
    except OSError:
        return None


def encode(picture: Picture, path: Path, *, format: str, quality: int | None, keep_metadata: bool) -> memoryview:
    """Return the bytes of `picture` as a file of `format`; only error messages use `path`. See `write`."""
    _check(picture, path, format)
    exif, xmp = (picture.exif, picture.xmp) if keep_metadata else (None, None)
    options: dict[str, Any] = {}
    if picture.icc is not None:
        options["icc_profile"] = picture.icc
    if picture.dpi is not None and format in ("PNG", "JPEG", "TIFF", "BMP"):
        options["dpi"] = picture.dpi
    if format == "PNG":
        options |= {
            "compress_level": 3,
            "pnginfo": _png_chunks(picture, xmp, keep_metadata),
        }  # level 6: 3 % smaller, twice the time
    elif format == "TIFF":
        tags = _tiff_tags(exif, xmp)
        nested = ExifTags.IFD.Exif in tags or ExifTags.IFD.GPSInfo in tags
        # Pillow's compressing writer cannot nest the camera's tags and fails; its plain writer can
        if not nested:
            tags[_PREDICTOR_TAG] = 2  # differences of neighbours: a third smaller
        options |= {"compression": "raw" if nested else "tiff_adobe_deflate", "tiffinfo": tags}
    elif format == "WEBP" and quality is None:
        options |= {"lossless": True, "exact": True}  # exact: keeps the colour of transparent pixels
    elif format == "WEBP":
        options |= {"quality": quality, "exact": True}
    elif format == "JPEG":
        options |= {"quality": quality or 95, "subsampling": "4:4:4"}
    elif format == "AVIF":
        options |= {"quality": quality or 90, "subsampling": "4:4:4"}
    if exif is not None and format in ("PNG", "WEBP", "JPEG", "AVIF"):
        options["exif"] = exif
    if xmp is not None and format in ("WEBP", "JPEG", "AVIF"):
        options["xmp"] = xmp
    image, file = _image(picture), io.BytesIO()
    try:
        image.save(file, format, **options)
    except (OSError, ValueError, TypeError, RuntimeError, SyntaxError, MemoryError) as error:
        remedy = "leave its metadata out" if keep_metadata else "choose another output format"
        raise PictureError(f"{shown(path)} could not be encoded as {format} ({error}); {remedy}") from error
    return file.getbuffer()


def _check(picture: Picture, path: Path, format: str) -> None:
    if format not in LOSSLESS and format not in LOSSY:
        raise UsageError(f"cannot write the format {format!r}; choose one of {', '.join([*LOSSLESS, *LOSSY])}")
    if format == "JPEG" and picture.alpha is not None:
        raise PictureError(f"{shown(path)} would lose its transparency as a JPEG; choose png, webp or avif")
    if format == "BMP" and not picture.plain:
        raise PictureError(f"{shown(path)} would lose its transparency or colour profile as a BMP; choose png")
    longest = max(picture.pixels.shape[:2])
    if longest > _MAX_SIDE.get(format, longest):
        raise PictureError(
            f"{shown(path)} has a side of {longest} px but {format} holds at most {_MAX_SIDE[format]}; choose png"
        )


def _image(picture: Picture) -> Image.Image:
    planes = picture.pixels
    if planes.dtype != np.uint8 or planes.ndim != 3 or planes.shape[2] != 3:
        raise TypeError(f"pixels must be uint8 [h, w, 3], not {planes.dtype} {list(planes.shape)}")
    if picture.grey:
        if (planes != planes[..., :1]).any():
            raise ValueError("a grey picture must have three equal channels")
        planes = planes[..., 0]
    if picture.alpha is not None:
        planes = np.dstack([planes, picture.alpha])
    return Image.fromarray(np.ascontiguousarray(planes))


def _png_chunks(picture: Picture, xmp: bytes | None, texts: bool) -> PngInfo:
    chunks = PngInfo()
    for name, payload in picture.colour_chunks:
        chunks.add(name, payload)
    if xmp is not None:
        chunks.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    for keyword, text in picture.text if texts else ():
        chunks.add_text(keyword, text)  # as iTXt where it is not Latin-1
    return chunks


def _tiff_tags(exif: bytes | None, xmp: bytes | None) -> Image.Exif:
    tags = Image.Exif()
    if exif is not None:
        tags.load(exif)
    if xmp is not None:
        tags[_XMP_TAG] = xmp
    return tags
