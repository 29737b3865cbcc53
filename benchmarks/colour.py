"""How much of what each method does is a loss of colour, from the protected pictures of a benchmark's run.

    python benchmarks/colour.py out/bench/embedded > benchmarks/results/v2/colour.txt

*Colour left*: the factor that brings clean pictures' differences from their own grey nearest to the protected ones';
1 is all of it, and `desaturate` lowers nothing else. *Loss of colour*: the share of a change's energy along that line.
*Slow*: the share that means over squares of 8 px keep: casts and blotches; the rest is grain. Means over subjects.
"""

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnable.images import files
from unlearnable.images.tensors import tensor

COLUMNS = {"PSNR, dB": 1, "colour left": 2, "loss of colour": 2, "slow": 2}


def pictures(run: Path, row: dict[str, Any]) -> Tensor:
    """``[n 3 h w]`` in [0, 1]."""
    return torch.stack([tensor(files.read(run / path).pixels) for path in row["protected"]]).double() / 255


def measured(x: Tensor, y: Tensor) -> list[float]:
    """`COLUMNS` of protected pictures `y` beside clean ones `x`."""
    delta, colour = y - x, x - x.mean(1, keepdim=True)
    mine = y - y.mean(1, keepdim=True)
    energy = delta.square().sum()
    along = (delta * colour).sum().square() / colour.square().sum()
    slow = F.avg_pool2d(delta, 8).square().mean() / delta.square().mean()
    left = (mine * colour).sum() / colour.square().sum()
    return [float(v) for v in (-10 * delta.square().mean().log10(), left, along / energy, slow)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    rows = [r for r in json.loads((run / "rows.json").read_text())["rows"] if r["purify"] == "none"]
    clean = {r["subject"]: pictures(run, r) for r in rows if r["method"] == "clean"}
    found: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(dict)
    for r in rows:
        subjects = found[r["budget"], r["method"]]
        if r["method"] != "clean" and r["subject"] not in subjects:
            subjects[r["subject"]] = measured(clean[r["subject"]], pictures(run, r))
    sys.stdout.write(f"$ python benchmarks/colour.py {run}\n\n")
    sys.stdout.write("| budget | method | subjects | " + " | ".join(COLUMNS) + " |\n|---|---|" + "---|" * 5 + "\n")
    for (budget, method), subjects in sorted(found.items()):
        if subjects:
            means = torch.tensor(list(subjects.values())).mean(0).tolist()
            cells = [f"{mean:.{digits}f}" for mean, digits in zip(means, COLUMNS.values())]
            sys.stdout.write(f"| {budget} | {method} | {len(subjects)} | " + " | ".join(cells) + " |\n")


if __name__ == "__main__":
    main()
