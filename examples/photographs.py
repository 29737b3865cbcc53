"""Write three photographs that scikit-image carries into a folder, so that nothing foreign is committed here."""

import sys
from pathlib import Path

from PIL import Image
from skimage import data

PHOTOGRAPHS = {"astronaut": data.astronaut, "cat": data.cat, "coffee": data.coffee}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, load in PHOTOGRAPHS.items():
        path = folder / f"{name}.png"
        if not path.exists():
            Image.fromarray(load()).save(path)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/originals"))
