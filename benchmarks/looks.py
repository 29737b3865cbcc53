"""Draw what each method's change looks like on one photograph: the twin, and below it the difference, amplified.

python benchmarks/looks.py out/looks docs/pictures/looks.webp    # NASA's portrait of Eileen Collins, of scikit-image

Every method at the strength `standard`, in few steps: this shows the kind of change, and not how well it protects.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

import unlearnable

METHODS = ("random", "desaturate", "encoders", "ldu-fast", "photoguard", "mist", "advdm", "pid")
FACE = np.s_[30:222, 130:322]
STEPS, GAIN = 10, 10
COLUMNS, LABEL = 4, 24  # px of a line of text


def main(out: Path, page: Path) -> None:
    original = out / "original.png"
    out.mkdir(parents=True, exist_ok=True)
    Image.fromarray(data.astronaut()[FACE]).save(original)
    cells = [cell(original, out, method) for method in METHODS]
    width, height = cells[0].size
    sheet = Image.new("RGB", (COLUMNS * width, -(-len(cells) // COLUMNS) * height), "white")
    for i, part in enumerate(cells):
        sheet.paste(part, (i % COLUMNS * width, i // COLUMNS * height))
    sheet.save(page, quality=85, method=6)


def cell(original: Path, out: Path, method: str) -> Image.Image:
    """A method's name and PSNR, its twin of the picture, and the difference."""
    steps = STEPS if unlearnable.Recipe(method=method).protection().steps > STEPS else None
    recipe = unlearnable.Recipe(method=method, steps=steps, resolution=192, prompt="a photo of a woman")
    (result,) = unlearnable.protect([original], out / method, recipe)
    if not result.output:
        raise SystemExit(result.message)
    before, after = (np.asarray(Image.open(path), np.int16) for path in (original, str(result.output)))
    change = np.clip(128 + GAIN * (after - before), 0, 255)
    text = f"{method}, {result.measured['psnr']:.1f} dB"
    print(text, flush=True)
    height, width = before.shape[:2]
    part = Image.new("RGB", (width, LABEL + 2 * height), "white")
    ImageDraw.Draw(part).text((4, 2), text, "black", ImageFont.load_default(16))
    for row, pixels in enumerate((after, change)):
        part.paste(Image.fromarray(pixels.astype(np.uint8)), (0, LABEL + row * height))
    return part


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
