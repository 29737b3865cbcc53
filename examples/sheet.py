"""Write one JPEG of originals, protected twins and their amplified differences, small enough for a page.

python examples/sheet.py ORIGINALS PROTECTED PAGE.jpg    # of `make protect`: out/originals out/protected
"""

import sys
from pathlib import Path

from PIL import Image

from unlearnable.images import files
from unlearnable.images.compare import sheet

WIDTH, QUALITY = 1200, 80


def main(originals: Path, protected: Path, page: Path) -> None:
    pairs = [(path, protected / path.name) for path in sorted(originals.iterdir())]
    rows = [sheet(files.read(before).pixels, files.read(after).pixels) for before, after in pairs]
    scaled = [Image.fromarray(row).resize((WIDTH, round(WIDTH * len(row) / row.shape[1]))) for row in rows]
    whole = Image.new("RGB", (WIDTH, sum(row.height for row in scaled)), "white")
    top = 0
    for row in scaled:
        whole.paste(row, (0, top))
        top += row.height
    whole.save(page, quality=QUALITY, optimize=True)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
