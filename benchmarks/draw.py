"""Draw the committed benchmark's plots: protection against visibility, and every countermeasure by itself.

python benchmarks/draw.py docs/results
"""

import sys
from pathlib import Path

from unlearnable.bench.page import everything, load, overall
from unlearnable.bench.plots import curves, multiples

RESULTS = Path(__file__).parent / "results" / "v2" / "embedded"
STANDARD = "psnr:36.1"


def main(folder: Path) -> None:
    tables = overall(everything(load(RESULTS)["rows"], "embedded"))
    (standard,) = (t for t in tables if t.budget == STANDARD)
    plots = {"visibility": curves(tables)[0][1], "countermeasures": multiples(standard)}
    for name, svg in plots.items():
        (folder / f"{name}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
