"""Make the training tables from the public archives' own folder layouts (see `data.py` for the command line).

Checked on small folders made up in the same layout (tests/training), not on the full archives. The tables we trained on
came from re-packed copies of the same archives: their `path` column may differ (tf_flowers: `dataset/train/...` instead
of `flower_photos/...`), and with it which 5 % of the pictures are held out. How ours were resampled is not recorded;
here it is Lanczos to a short side of 128 px, a centre crop, and WebP at quality 75.
"""

import csv
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image, ImageOps

SIZE = 128
CALTECH_LABELS = {
    "Faces": "person", "Faces_easy": "face", "Leopards": "leopard", "Motorbikes": "motorbike", "airplanes": "airplane",
    "car_side": "car", "cougar_face": "cougar", "crocodile_head": "crocodile", "flamingo_head": "flamingo",
}  # fmt: skip
FLOWER_LABELS = {"roses": "rose", "sunflowers": "sunflower", "tulips": "tulip"}
GARMENT_LABELS = {
    "Longsleeve": "long sleeve shirt", "Pants": "pair of pants", "Shoes": "pair of shoes", "Shorts": "pair of shorts",
}  # fmt: skip
GARMENTS_LEFT_OUT = {"Not sure", "Other", "Skip"}

Item = tuple[Path, str, str]  # file, label, path to write in the table


def article(label: str) -> str:
    """`a` or `an`, by the first letter."""
    return "an" if label[:1].lower() in "aeiou" else "a"


def caltech101(folder: Path) -> Iterator[Item]:
    """`101_ObjectCategories/CLASS/*.jpg`, without the clutter class."""
    for file in sorted(folder.glob("*/*.jpg")):
        name = file.parent.name
        if name != "BACKGROUND_Google":
            yield file, CALTECH_LABELS.get(name, name.replace("_", " ").lower()), _path(folder, file)


def flowers(folder: Path) -> Iterator[Item]:
    """`flower_photos/CLASS/*.jpg`."""
    for file in sorted(folder.glob("*/*.jpg")):
        yield file, FLOWER_LABELS.get(file.parent.name, file.parent.name), _path(folder, file)


def clothing(folder: Path) -> Iterator[Item]:
    """`images.csv` (image, sender_id, label, kids) beside `images_compressed/ID.jpg`."""
    with (folder / "images.csv").open(newline="", encoding="utf-8") as lines:
        rows = sorted(csv.DictReader(lines), key=lambda row: row["image"])
    for row in rows:
        file = folder / "images_compressed" / f"{row['image']}.jpg"
        if row["label"] not in GARMENTS_LEFT_OUT and file.is_file():
            label = GARMENT_LABELS.get(row["label"], row["label"].lower())
            yield file, label, f"images/{row['image']}.jpg"


MAKERS: dict[str, Callable[[Path], Iterator[Item]]] = {
    "caltech101": caltech101,
    "flowers": flowers,
    "clothing": clothing,
}


def _path(folder: Path, file: Path) -> str:
    return f"{folder.resolve().name}/{file.parent.name}/{file.name}"


def shrink(file: Path) -> bytes:
    """The picture as WebP bytes: upright, RGB, short side 128 px, centre crop."""
    with Image.open(file, formats=["JPEG", "PNG", "WEBP"]) as picture:
        upright = ImageOps.exif_transpose(picture).convert("RGB")
    square = ImageOps.fit(upright, (SIZE, SIZE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    square.save(buffer, "WEBP", quality=75, method=6)
    return buffer.getvalue()


def make(name: str, folder: Path, out: Path) -> int:
    """Write one table and return how many pictures it holds. Files Pillow cannot read are left out."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: name the unpacked archive's picture folder")
    columns: dict[str, list] = {"image": [], "caption": [], "label": [], "path": []}
    for file, label, path in MAKERS[name](folder):
        try:
            columns["image"].append(shrink(file))
        except (OSError, ValueError, Image.DecompressionBombError):
            continue
        columns["caption"].append(f"a photo of {article(label)} {label}")
        columns["label"].append(label)
        columns["path"].append(path)
    if not columns["path"]:
        raise ValueError(f"{folder} holds no {name} pictures in the archive's layout (see training/README.md)")
    part = out.with_name(out.name + ".part")
    pq.write_table(pa.table(columns), part)
    os.replace(part, out)
    return len(columns["path"])
