"""Picture formats: which are accepted, how a file's bytes tell its format, and which one is written."""

from importlib.util import find_spec
from pathlib import Path

from unlearnable.errors import PictureError, UsageError, shown

SUFFIXES = {
    ".png": "PNG",
    ".apng": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".hif": "HEIF",
}
"""File suffix (lower case) -> Pillow's name of the format."""

OTHERS = {
    **dict.fromkeys((".gif",), "GIF"),
    **dict.fromkeys((".jp2", ".j2k", ".jpf", ".jpx", ".jpc", ".j2c"), "JPEG 2000"),
    **dict.fromkeys((".tga", ".icb", ".vda", ".vst"), "TGA"),
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm", ".pam", ".pfm"), "PPM"),
    **dict.fromkeys((".svg", ".svgz"), "SVG"),
    **dict.fromkeys((".ico", ".cur"), "ICO"),
    **dict.fromkeys((".icns",), "ICNS"),
    **dict.fromkeys((".psd", ".psb"), "PSD"),
    **dict.fromkeys((".xcf",), "XCF"),
    **dict.fromkeys((".jxl",), "JPEG XL"),
    **dict.fromkeys((".jxr", ".wdp", ".hdp"), "JPEG XR"),
    **dict.fromkeys((".exr",), "EXR"),
    **dict.fromkeys((".hdr",), "HDR"),
    **dict.fromkeys((".pcx",), "PCX"),
    **dict.fromkeys((".dds",), "DDS"),
    **dict.fromkeys((".qoi",), "QOI"),
    **dict.fromkeys((".eps", ".ps", ".ai"), "EPS"),
    **dict.fromkeys(
        (
            ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".raf", ".orf", ".rw2", ".pef",
            ".ptx", ".x3f", ".3fr", ".fff", ".iiq", ".mos", ".mrw", ".erf", ".kdc", ".dcr", ".mef", ".rwl", ".srw",
            ".gpr", ".raw",
        ),
        "camera raw",
    ),
}  # fmt: skip
"""Suffixes of pictures that are not accepted -> the format's name in messages."""

LOSSLESS = {"PNG": ".png", "WEBP": ".webp", "TIFF": ".tif", "BMP": ".bmp"}
"""Formats that preserve every 8-bit sample, and the suffix of each."""

LOSSY = {"JPEG": ".jpg", "AVIF": ".avif"}
"""Formats that do not (AVIF: Pillow has no lossless mode); they are written only on request."""

ACCEPTED = "PNG, JPEG, WebP, TIFF, BMP, AVIF"

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"BM", "BMP"),
    (b"GIF8", "GIF"),
    (b"%!PS", "EPS"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"%PDF", "PDF"),
    (b"8BPS", "PSD"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"<svg", "SVG"),
    (b"\0\0\x01\0", "ICO"),
    (b"gimp xcf", "XCF"),
    (b"qoif", "QOI"),
)
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


def sniff(data: bytes) -> str | None:
    """Return the format that the first bytes of a file announce, or None. The file's name is not used."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        size = min(int.from_bytes(data[:4], "big"), 256)
        brands = {data[8:12], *(data[i : i + 4] for i in range(16, size, 4))}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        return "HEIF" if brands & _HEIF_BRANDS else None
    return next((name for magic, name in _MAGIC if data.startswith(magic)), None)


def accept(data: bytes, path: Path) -> str:
    """Return the format of a file's bytes if it is on the allow-list.

    Raises PictureError otherwise. Pillow then opens the file as this format only, so that none of its other decoders
    (EPS runs an external program) ever sees the file.
    """
    kind = sniff(data)
    if kind == "HEIF":
        if find_spec("pillow_heif") is None:
            raise PictureError(
                f'{shown(path)} is HEIF, which needs a package: pip install "unlearnable[heif]", or export it as PNG'
            )
        return kind
    if kind in LOSSLESS or kind in LOSSY:
        return kind
    what = f"is {kind}, which is not accepted" if kind else "is not a picture that can be read"
    raise PictureError(f"{shown(path)} {what}; export it as one of {ACCEPTED}")


def output_format(picture_format: str, requested: str | None = None, *, plain: bool = True) -> tuple[str, str]:
    """Return (Pillow's format name, file suffix) to write a picture with.

    `requested` is a format or suffix in any case ("jpeg", ".webp", "AVIF"); UsageError if it is not one we write.
    Without it, the input's own format is used where that can be lossless, else PNG. `plain` is `Picture.plain`: a BMP
    holds neither alpha nor a colour profile, so a picture with one of these becomes a PNG.
    """
    if requested is not None:
        key = requested.lower().lstrip(".")
        name = SUFFIXES.get(f".{key}")
        if name is None or name == "HEIF":
            raise UsageError(f"cannot write the format {requested!r}; choose one of png, webp, tiff, bmp, jpeg, avif")
        return name, {**LOSSLESS, **LOSSY}[name]
    name = picture_format if picture_format in LOSSLESS else "PNG"
    if name == "BMP" and not plain:
        name = "PNG"
    return name, LOSSLESS[name]


def output_name(relative: Path, format: str) -> Path:
    """Return `relative` with a suffix for `format`. A suffix that already names the format stays (".tiff", ".PNG").

    A suffix that is not a picture format's is part of the name and stays: "me.v2" becomes "me.v2.png".
    """
    kind = SUFFIXES.get(relative.suffix.lower())
    if kind == format:
        return relative
    suffix = {**LOSSLESS, **LOSSY}[format]
    return relative.with_suffix(suffix) if kind else relative.with_name(relative.name + suffix)


def lost(texts: bool, format: str) -> tuple[str, ...]:
    """Notes on metadata that should be kept but that a file of `format` cannot hold."""
    return ("the PNG's texts are left out, as only a PNG holds them",) if texts and format != "PNG" else ()


def is_lossless(format: str, quality: int | None = None) -> bool:
    """Whether `write(format=format, quality=quality)` preserves every sample; WebP does only without a quality."""
    return format in LOSSLESS and not (format == "WEBP" and quality is not None)
