"""The tables as a folder of pictures with captions beside them, a folder for each label.

python training/unpack.py out/pictures --limit 6000                      # for train-shortcut and train-ldu
python training/unpack.py out/held-out --part held-out                  # what no shipped network was trained on
python training/unpack.py out/photos --native --limit 400               # at their own size: for train-fastprotect
"""

import argparse
import random
from pathlib import Path

import pyarrow.parquet as pq

from data import TABLES, data_folder, held_out


def unpack(folder: Path, out: Path, part: str, limit: int | None) -> int:
    """Write the pictures of one part as they lie in the tables; `limit` draws that many, always the same ones."""
    rows = []
    for name in TABLES:
        table = pq.read_table(folder / f"{name}.parquet", columns=["image", "caption", "label", "path"])
        rows += [
            (name, i, row)
            for i, row in enumerate(table.to_pylist())
            if held_out(f"{name}/{row['path']}") == (part == "held-out")
        ]
    chosen = rows if limit is None else random.Random(0).sample(rows, min(limit, len(rows)))
    for name, i, row in chosen:
        place = out / f"{name}-{row['label'].replace(' ', '-')}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{i:05}.webp").write_bytes(row["image"])
        (place / f"{i:05}.txt").write_text(row["caption"] + "\n", encoding="utf-8")
    return len(chosen)


def unpack_native(folder: Path, out: Path, part: str, limit: int | None) -> int:
    """Write the photographs of one part at their own size, by `limit` as above."""
    rows = pq.read_table(folder / "native.parquet", columns=["image", "path"]).to_pylist()
    rows = [row for row in rows if held_out(f"native/{row['path']}") == (part == "held-out")]
    chosen = rows if limit is None else random.Random(0).sample(rows, min(limit, len(rows)))
    out.mkdir(parents=True, exist_ok=True)
    for i, row in enumerate(chosen):
        (out / f"{i:05}.webp").write_bytes(row["image"])
    return len(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", help="folder of the tables")
    parser.add_argument("--part", choices=("train", "held-out"), default="train")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--native", action="store_true", help="photographs at their own size, without captions")
    options = parser.parse_args()
    count = (unpack_native if options.native else unpack)(
        data_folder(options.data), options.out, options.part, options.limit
    )
    print(f"{count} pictures in {options.out}")


if __name__ == "__main__":
    main()
