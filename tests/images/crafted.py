"""Picture files written by hand, byte by byte, so that the tests do not trust the library under the code they test."""

import struct
import zlib

import numpy as np


def chunk(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def png(values: np.ndarray, depth: int, colour_type: int, extra: bytes = b"", late: bytes = b"") -> bytes:
    """A PNG of `values` [h, w] or [h, w, c]; samples below 8 bits are packed; `extra` chunks go before the pixels."""
    height, width = values.shape[:2]
    if depth == 16:
        rows = [row.astype(">u2").tobytes() for row in values]
    elif depth == 8:
        rows = [row.astype(np.uint8).tobytes() for row in values]
    else:
        bits = (values[..., None].astype(np.uint8) >> np.arange(depth - 1, -1, -1)) & 1
        rows = [np.packbits(row).tobytes() for row in bits.reshape(height, -1)]
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return png_of(width, height, depth, colour_type, extra + chunk(b"IDAT", pixels) + late)


def png_of(width: int, height: int, depth: int, colour_type: int, chunks: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunks + chunk(b"IEND", b"")


def tiff(values: np.ndarray, bits: int, photometric: int = 1, sample_format: int = 1) -> bytes:
    """A little-endian TIFF of one uncompressed strip; `values` [h, w] or [h, w, c] already have the wanted dtype."""
    height, width = values.shape[:2]
    channels = 1 if values.ndim == 2 else values.shape[2]
    data = values.tobytes()
    tags = [(256, 4, width), (257, 4, height), (259, 3, 1), (262, 3, photometric), (277, 3, channels), (278, 4, height)]
    tags += [(279, 4, len(data)), (339, 3, sample_format)]
    count = len(tags) + 2
    bits_place = 8 + 2 + 12 * count + 4
    pixels_place = bits_place + 2 * channels + (2 * channels) % 4
    if channels == 1:
        tags.append((258, 3, bits))
    tags.append((273, 4, pixels_place))
    entries = [(tag, struct.pack("<HHII", tag, kind, 1, value)) for tag, kind, value in tags]
    if channels > 1:
        entries.append((258, struct.pack("<HHII", 258, 3, channels, bits_place)))
    directory = struct.pack("<H", count) + b"".join(entry for _, entry in sorted(entries)) + b"\0" * 4
    body = b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<H", bits) * channels
    return body.ljust(pixels_place, b"\0") + data


def _icc(tags: list[tuple[bytes, bytes]], kind: bytes, space: bytes, pcs: bytes) -> bytes:
    text = b"crafted\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 78
    tags = [(b"desc", description), (b"cprt", b"text\0\0\0\0" + text), (b"wtpt", _xyz(0.9642, 1.0, 0.8249)), *tags]
    table, body, place = b"", b"", 128 + 4 + 12 * len(tags)
    for name, payload in tags:
        payload = payload.ljust(-(-len(payload) // 4) * 4, b"\0")
        table += name + struct.pack(">II", place + len(body), len(payload))
        body += payload
    head = struct.pack(">I4sI4s4s4s", place + len(body), b"none", 0x02400000, kind, space, pcs)
    head += struct.pack(">6H4s", 2025, 1, 1, 0, 0, 0, b"acsp") + b"\0" * 28 + _xyz(0.9642, 1.0, 0.8249)[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in values)


def profile(space: bytes = b"RGB ", gamma: float = 2.2) -> bytes:
    """A small ICC profile (version 2): Display-P3 primaries for RGB, a single curve otherwise."""
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    if space != b"RGB ":
        return _icc([(b"kTRC", curve)], b"mntr", space, b"XYZ ")
    primaries = [(b"rXYZ", _xyz(0.51512, 0.2412, -0.00105)), (b"gXYZ", _xyz(0.29198, 0.69225, 0.04189))]
    primaries.append((b"bXYZ", _xyz(0.1571, 0.06657, 0.78407)))
    return _icc([*primaries, *((name, curve) for name in (b"rTRC", b"gTRC", b"bTRC"))], b"mntr", b"RGB ", b"XYZ ")


def cmyk_profile() -> bytes:
    """A working CMYK profile by a table of 2 x 2 x 2 x 2 points: all neutral, cyan L* = 75, black 25, all inks 0."""
    straight = bytes(range(256))
    corners = b""
    for number in range(16):
        cyan, magenta, yellow, black = (number >> shift & 1 for shift in (3, 2, 1, 0))
        lightness = max(0.0, 1 - 0.25 * (cyan + magenta + yellow) - 0.75 * black)
        corners += bytes([round(255 * lightness), 128, 128])
    identity = b"".join(struct.pack(">i", 65536 * (i == j)) for i in range(3) for j in range(3))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + straight * 4 + corners + straight * 3
    return _icc([(name, lut) for name in (b"A2B0", b"A2B1", b"A2B2")], b"prtr", b"CMYK", b"Lab ")


def colours(height: int = 40, width: int = 56, seed: int = 0) -> np.ndarray:
    """Photograph-like pixels, uint8 [h, w, 3]: smooth colour with some grain, so that lossy files hold up."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    smooth = np.stack([x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)], axis=2)
    return np.clip(smooth + rng.integers(-6, 7, smooth.shape), 0, 255).astype(np.uint8)
