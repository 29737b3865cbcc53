"""Write one JPEG of pictures and, beside each, what an attacker draws who learned from it.

python examples/drawn.py PAGE.jpg PICTURE LEARNED [PICTURE LEARNED ...]    # LEARNED: what `personalize` wrote
"""

import sys
from pathlib import Path

from PIL import Image, ImageOps

SIDE, GAP, SHOWN, QUALITY = 220, 8, 5, 85


def square(file: Path) -> Image.Image:
    """The middle of a picture, `SIDE` px wide: what a model of squares sees of it."""
    with Image.open(file) as picture:
        return ImageOps.fit(picture.convert("RGB"), (SIDE, SIDE), Image.Resampling.BICUBIC)


def main(page: Path, *given: Path) -> None:
    rows = [
        (picture, sorted((learned / "samples").iterdir())[:SHOWN]) for picture, learned in zip(given[::2], given[1::2])
    ]
    width, height = (SIDE + GAP) * (SHOWN + 1) + 2 * GAP, (SIDE + GAP) * len(rows) - GAP
    whole = Image.new("RGB", (width, height), "white")
    for row, (picture, drawn) in enumerate(rows):
        for column, file in enumerate([picture, *drawn]):
            left = column * (SIDE + GAP) + (3 * GAP if column else 0)
            whole.paste(square(file), (left, row * (SIDE + GAP)))
    whole.save(page, quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
