"""How far several protections at default settings move encoders that none of them had in its loop.

    python training/rivals.py photos -o out/rivals      # give it again to go on; --only encoders mist: these alone

`photos` is a folder of pictures at their own size. Each protection writes into a folder of its own, at strength
`standard` and 36.1 dB; then the teachers of the encoders that ship say how far their latents moved, in multiples of
random noise of the same size. `encoders` stands beside itself with one encoder at a time: what sharing costs, and what
carries over.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import unlearnable
from data import DEFAULT_DATA
from transfer import encoders
from unlearnable.evaluation.shifts import CHAINS, compare

RIVALS: dict[str, dict[str, Any]] = {
    "encoders": {},
    "fastprotect": {"method": "fastprotect", "psnr": 36.1},
    "encoders, flux2 alone": {"against": "flux2"},
    "encoders, sd1 alone": {"against": "sd1"},
    "advdm": {"method": "advdm", "psnr": 36.1},
    "photoguard": {"method": "photoguard", "psnr": 36.1},
    "pid": {"method": "pid", "psnr": 36.1},
    "mist": {"method": "mist", "psnr": 36.1},
}


def protected(photos: Path, folder: Path, settings: dict[str, Any]) -> float:
    """Protect `photos` into `folder`, unless that is done; the mean PSNR of what is there, in dB."""
    recipe = unlearnable.Recipe(offline=True, **settings)
    return mean(result.measured["psnr"] for result in unlearnable.protect([photos], folder, recipe))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("out/rivals"))
    parser.add_argument("--only", nargs="+", choices=RIVALS, default=list(RIVALS), metavar="NAME")
    parser.add_argument("--teachers", type=Path, default=DEFAULT_DATA.parent.parent / "weights")
    args = parser.parse_args()
    judges, rows = encoders(args.teachers), []
    for name in args.only:
        folder = args.out / name.replace(", ", "-").replace(" ", "-")
        row = {"protection": name, "psnr": round(protected(args.photos, folder, RIVALS[name]), 2)}
        for shift in compare(args.photos, folder, judges, purify=CHAINS).shifts:
            value, low, high = shift.ratio.value, shift.ratio.low, shift.ratio.high
            row[f"{shift.encoder}, {shift.purify}"] = [round(figure, 2) for figure in (value, low, high)]
        rows.append(row)
        print(json.dumps(row), flush=True)
    (args.out / "rivals.json").write_text(json.dumps(rows, indent=1) + "\n")
    sys.stdout.write(table(rows))


def table(rows: list[dict]) -> str:
    """The rows in Markdown: multiples of random noise, with intervals."""
    columns = list(rows[0])[2:]
    lines = ["| protection | dB | " + " | ".join(columns) + " |", "|---" * (len(columns) + 2) + "|"]
    for row in rows:
        cells = (cell(*row[column]) for column in columns)
        lines.append(f"| {row['protection']} | {row['psnr']:.1f} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def cell(ratio: float, low: float, high: float) -> str:
    """A ratio, with its interval where few pictures give one."""
    return f"{ratio:.1f}" if math.isnan(low) else f"{ratio:.1f} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    main()
