"""Subjects for `make bench-smoke`: views of pictures that scikit-image carries, so that nothing foreign is committed.

    python benchmarks/smoke.py out/smoke/data

A cat (an object) and an astronaut (a person, in the sets A, B and C). Every view is another cut of one photograph.
"""

import sys
from pathlib import Path

from PIL import Image
from skimage import data

SIDE, STEP = 260, 8  # px
VIEWS = {
    "objects/cat": (data.cat, (20, 100), range(4)),
    "people/astronaut/set_A": (data.astronaut, (0, 90), range(1)),
    "people/astronaut/set_B": (data.astronaut, (0, 90), range(1, 3)),
    "people/astronaut/set_C": (data.astronaut, (0, 90), range(3, 5)),
}


def main(folder: Path) -> None:
    for name, (load, (top, left), views) in VIEWS.items():
        for i in views:
            path = folder / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            part = load()[top + STEP * i : top + STEP * i + SIDE, left + STEP * i : left + STEP * i + SIDE]
            Image.fromarray(part).save(path)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/smoke/data"))
