"""The training tables: read them, split them, caption them; and make them from the public archives.

    python training/data.py make caltech101 path/to/101_ObjectCategories caltech101.parquet
    python training/data.py make flowers    path/to/flower_photos        flowers.parquet
    python training/data.py make clothing   path/to/clothing-dataset     clothing.parquet
    python training/data.py show

A table has four columns: `image` (WebP bytes, 128 x 128 px, RGB), `caption`, `label`, `path`.
"""

import argparse
import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tables import MAKERS, article, make

TABLES = ("caltech101", "flowers", "clothing")
DEFAULT_DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "train"
TEMPLATES = ("a photo of {an} {label}", "a photo of {an} {label}", "a close-up photo of {an} {label}", "{label}")


@dataclass(frozen=True)
class Split:
    """One part of the tables. `pixels` is uint8 [n, 3, 128, 128]; the lists have n entries each."""

    pixels: torch.Tensor
    labels: list[str]
    paths: list[str]

    def __len__(self) -> int:
        return len(self.labels)


def data_folder(argument: str | None = None) -> Path:
    """Where the tables lie: the argument, else $UNLEARNABLE_DATA, else ../shared/data/train beside the repository."""
    folder = Path(argument or os.environ.get("UNLEARNABLE_DATA") or DEFAULT_DATA)
    missing = [name for name in TABLES if not (folder / f"{name}.parquet").is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)}.parquet: name the folder with --data, or make the tables with "
            "`python training/data.py make` (see training/README.md)"
        )
    return folder


def held_out(path: str) -> bool:
    """True for about 5 % of the paths, always the same ones."""
    return int(hashlib.sha256(path.encode()).hexdigest(), 16) % 20 == 0


def load(folder: Path, part: str, limit: int | None = None) -> Split:
    """Read all three tables and keep one part: `train` or `held-out`. `limit` keeps every k-th row of it."""
    import pyarrow.parquet as pq

    rows = []
    for name in TABLES:
        table = pq.read_table(folder / f"{name}.parquet", columns=["image", "label", "path"])
        rows += [row for row in table.to_pylist() if held_out(f"{name}/{row['path']}") == (part == "held-out")]
    if limit is not None and limit < len(rows):
        rows = [rows[i * len(rows) // limit] for i in range(limit)]
    pixels = torch.empty((len(rows), 3, 128, 128), dtype=torch.uint8)
    for i, row in enumerate(rows):
        picture = Image.open(io.BytesIO(row["image"]), formats=["WEBP", "PNG", "JPEG"]).convert("RGB")
        pixels[i] = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    return Split(pixels, [row["label"] for row in rows], [row["path"] for row in rows])


def to_float(pixels: torch.Tensor) -> torch.Tensor:
    """uint8 pictures to float in [-1, 1], the range the autoencoder works in."""
    return pixels.float().div_(127.5).sub_(1)


def jitter(images: torch.Tensor, rng: torch.Generator, amount: float = 0.1) -> torch.Tensor:
    """Scale and shift each colour channel by at most `amount` (one draw per picture), then clip to [-1, 1]."""
    shape = (len(images), 3, 1, 1)
    scale = 1 + amount * (2 * torch.rand((len(images), 1, 1, 1), generator=rng) - 1)
    shift = amount * (2 * torch.rand(shape, generator=rng) - 1)
    return (images * scale.to(images.device) + shift.to(images.device)).clamp_(-1, 1)


def every_caption(label: str) -> list[str]:
    """What the templates make of a label; the plainest first."""
    return [template.format(an=article(label), label=label) for template in TEMPLATES]


def captions(labels: list[str], rng: torch.Generator, dropout: float = 0.1) -> list[str]:
    """A caption for each label, from the templates; `dropout` of them are empty, for classifier-free guidance."""
    which = torch.randint(0, len(TEMPLATES), (len(labels),), generator=rng).tolist()
    drop = (torch.rand(len(labels), generator=rng) < dropout).tolist()
    return ["" if gone else every_caption(label)[i] for label, i, gone in zip(labels, which, drop)]


def main() -> None:
    """Command line: `make` a table from a public archive's folder, or `show` what the tables hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    maker = commands.add_parser("make", help="make a table from the archive's own folder")
    maker.add_argument("name", choices=sorted(MAKERS))
    maker.add_argument("folder", type=Path)
    maker.add_argument("out", type=Path)
    show = commands.add_parser("show", help="count pictures and labels")
    show.add_argument("--data")
    args = parser.parse_args()
    if args.command == "make":
        print(f"{make(args.name, args.folder, args.out)} pictures -> {args.out}")
        return
    for part in ("train", "held-out"):
        split = load(data_folder(args.data), part)
        print(f"{part}: {len(split)} pictures, {len(set(split.labels))} labels")


if __name__ == "__main__":
    main()
