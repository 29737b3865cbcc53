"""Write three photographs that scikit-image carries into a folder, so that nothing foreign is committed here.

python examples/photographs.py out/originals
python examples/photographs.py out/small 128     # their middle squares, scaled to 128 px: what the embedded model sees
"""

import sys
from pathlib import Path

from PIL import Image, ImageOps
from skimage import data

PHOTOGRAPHS = {"astronaut": data.astronaut, "cat": data.cat, "coffee": data.coffee}


def main(folder: Path, side: int | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, load in PHOTOGRAPHS.items():
        path = folder / f"{name}.png"
        if not path.exists():
            picture = Image.fromarray(load())
            (ImageOps.fit(picture, (side, side), Image.Resampling.LANCZOS) if side else picture).save(path)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/originals"), *map(int, sys.argv[2:3]))
