"""Conversion of any samples (16 bit, palette, CMYK, grey, alpha) to 8-bit RGB or grey with straight alpha."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from unlearnable.errors import PictureError, shown
from unlearnable.images.header import Header


@dataclass(frozen=True)
class Samples:
    """8-bit samples: `pixels` [h, w, 3] or, if grey, [h, w]; `alpha` [h, w] or None; `icc` is their colour profile."""

    pixels: np.ndarray
    alpha: np.ndarray | None
    icc: bytes | None
    notes: tuple[str, ...]


def to_samples(image: Image.Image, header: Header, path: Path) -> Samples:
    """Return the 8-bit samples of a loaded image. Raises PictureError for samples whose black and white are unknown."""
    icc = image.info.get("icc_profile") or None
    mode = image.mode
    notes: list[str] = []
    alpha: np.ndarray | None = None
    if mode.startswith("I;16") or (mode == "I" and header.kind == "PNG"):
        pixels, alpha = _deep_grey(image, header)
        notes.append(f"{header.bits} bits a sample reduced to 8")
    elif mode in ("1", "L"):
        pixels = np.array(image.convert("L"))
        alpha = _keyed_alpha(pixels, image.info.get("transparency"), header.bits)
    else:
        if header.bits > 8 and mode not in ("I", "F"):
            notes.append(f"{header.bits} bits a sample reduced to 8 (the high bits of each)")
        colour, icc, note = _to_rgb(image, icc, path)
        notes += [note] if note else []
        pixels = np.array(colour)
        if pixels.shape[2] == 4:
            pixels, alpha = np.ascontiguousarray(pixels[..., :3]), np.ascontiguousarray(pixels[..., 3])
        elif pixels.shape[2] == 2:
            pixels, alpha = np.ascontiguousarray(pixels[..., 0]), np.ascontiguousarray(pixels[..., 1])
        elif mode == "RGB":
            alpha = _keyed_alpha(pixels, image.info.get("transparency"), header.bits)
        if header.grey and pixels.ndim == 3:  # Pillow opens 16-bit grey with alpha as RGBA
            pixels = np.ascontiguousarray(pixels[..., 0])
    icc, note = _usable_profile(icc, grey=pixels.ndim == 2)
    notes += [note] if note else []
    return Samples(pixels, alpha, icc, tuple(notes))


def _deep_grey(image: Image.Image, header: Header) -> tuple[np.ndarray, np.ndarray | None]:
    values = np.asarray(image).astype(np.uint32)
    top = 2**header.bits - 1
    key = image.info.get("transparency")
    alpha = np.where(values == key, 0, 255).astype(np.uint8) if isinstance(key, int) else None
    if header.white_is_zero:
        values = top - np.minimum(values, top)
    # Pillow's own conversion clips at 255; this is round(255 * value / top)
    return ((values * 255 + top // 2) // top).astype(np.uint8), alpha


def _keyed_alpha(pixels: np.ndarray, key: object, bits: int) -> np.ndarray | None:
    """Alpha from PNG's "this colour is transparent". The key has the file's depth, `pixels` have 8 bits.

    At 16 bits a sample, Pillow leaves only the high byte of colour, so the key's high byte is compared.
    """
    if isinstance(key, int):
        clear = pixels == (min(key * 255 // (2**bits - 1), 255) if bits < 8 else key)
    elif isinstance(key, tuple) and len(key) == 3:
        clear = (pixels == np.array([k >> (bits - 8) for k in key])).all(axis=2)
    else:
        return None
    return np.where(clear, 0, 255).astype(np.uint8)


def _to_rgb(image: Image.Image, icc: bytes | None, path: Path) -> tuple[Image.Image, bytes | None, str | None]:
    """Return (image of mode RGB, RGBA or LA; its colour profile; a note or None)."""
    if image.mode in ("RGB", "RGBA", "LA"):
        return image, icc, None
    if image.mode in ("RGBX", "RGBa", "La"):
        return image.convert({"RGBX": "RGB", "RGBa": "RGBA", "La": "LA"}[image.mode]), icc, None
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB"), icc, "palette expanded to RGB"
    if image.mode in ("CMYK", "LAB"):
        converted, how = _managed(image, icc)
        return converted, None, f"{image.mode} converted to sRGB {how}"
    if image.mode in ("YCbCr", "HSV"):
        return image.convert("RGB"), icc, f"{image.mode} converted to RGB"
    raise PictureError(
        f"{shown(path)} holds signed, 32-bit or floating-point samples (mode {image.mode}), "
        "which have no fixed black and white; export it with 8 or 16 bits a sample"
    )


def _managed(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, str]:
    """Convert CMYK or Lab to sRGB through a profile. Without a usable one, CMYK is converted by Pillow's formula."""
    try:
        lab = image.mode == "LAB"
        source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB") if lab else io.BytesIO(icc or b""))
        converted = ImageCms.profileToProfile(
            image,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if converted is None:
            raise ValueError("no picture came back")
        return converted, "by colour management" if lab else "through its profile"
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):
        why = "without a profile, so colours may shift" if not icc else "without its profile, which is damaged"
        return image.convert("RGB"), why


def _usable_profile(icc: bytes | None, grey: bool) -> tuple[bytes | None, str | None]:
    """Return (the profile or None, a note or None). A profile for other channels than the picture's is dropped."""
    if icc is None:
        return None, None
    if len(icc) < 128 or icc[36:40] != b"acsp":
        return None, "damaged colour profile dropped"
    space = icc[16:20]
    if space == (b"GRAY" if grey else b"RGB "):
        return icc, None
    return (
        None,
        f"colour profile for {space.decode('ascii', 'replace').strip()} dropped, as it does not fit the picture",
    )
