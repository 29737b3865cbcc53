"""Turn a picture into the bytes of a file, with its alpha, its colour profile and, if asked for, its metadata."""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from unlearnable.errors import PictureError, UsageError, shown
from unlearnable.images.formats import LOSSLESS, LOSSY
from unlearnable.images.picture import Picture

_XMP_TAG = 700
_PREDICTOR_TAG = 317
_MAX_SIDE = {"JPEG": 65_500, "WEBP": 16_383, "AVIF": 65_535}


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
