"""What UDP and EUDP do to diffusion models trained on the protected pictures, from scratch or fine-tuned.

    python benchmarks/udp.py benchmarks/recipes/udp-digits.toml      # pip install 'unlearnable[bench]' first

A cell is a row (method, share of the set protected, countermeasure) with one seed, which decides the protection, the
attacker's weights and batches, and the start noise of the samples. Cells that are done lie under `--work` and are not
done again, so a run may be stopped at any time. Intervals are Student's, 95 %, over seeds. Where training is short,
seeds differ more than rows do, so each row is also compared with random noise seed by seed. Recipes of
the same settings share their cells.
"""

import argparse
import json
import math
import os
import platform
import re
import time
import tomllib
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from udp_cells import Lab, Study, model_of, name_of
from udp_data import classifier, load, split

COMPARED = "fid", "precision", "recall", "own_loss"
FIGURES = {
    "fid": 1, "fid - random": 1, "precision": 3, "precision - random": 3, "recall": 3, "recall - random": 3,
    "held_out_loss": 4, "own_loss": 4, "own_loss - random": 4, "psnr": 1,
}  # fmt: skip
SHOWN = 20
STUDENT = {2: 12.71, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}


def facts_of(study: Study) -> dict[str, Any]:
    seen, held = split(load(study.data, study.side, study.most)[0])
    return {"training pictures": len(seen), "held out": len(held)}


LAB: list[Lab] = []  # a worker's own


def begin(study: Study, threads: int) -> None:
    """A worker's pictures, networks and threads."""
    torch.set_num_threads(threads)
    x, labels = load(study.data, study.side, study.most)
    seen, held = split(x)
    if study.features == "classifier":
        network, accuracy = classifier(x, labels, study.classifier)
        features: Any = network.features
    else:
        from unlearnable.metrics.features import features as named

        features, accuracy = named(study.features), math.nan
    LAB.append(Lab(study, seen, held, features, model_of(study), accuracy))


def work(row: str, seed: int, place: Path, until: float) -> str:
    """One cell, unless it is too late for it; the line that is printed."""
    if time.time() > until:
        return ""
    cell, made = LAB[0].cell(row, seed)
    strip(made[:SHOWN], place.with_suffix(".png"))
    place.write_text(json.dumps(cell))
    return " ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in cell.items()) + "\n"


def mean_and_interval(values: list[float]) -> tuple[float, float, float]:
    n, mean = len(values), sum(values) / len(values)
    if n < 2:
        return mean, math.nan, math.nan
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))
    half = STUDENT.get(n, 1.96) * spread / math.sqrt(n)
    return mean, mean - half, mean + half


def beside_random(cells: list[dict[str, Any]]) -> None:
    """Note how far each cell is above random noise of its seed, budget, share and countermeasure.

    Attackers of one seed have the same first weights, batches and start noise.
    """

    def kind(cell: dict[str, Any]) -> tuple[int, str]:
        return cell["seed"], re.sub("^[a-z]+(:[a-z0-9-]+)?", "", cell["row"])

    control = {kind(cell): cell for cell in cells if cell["row"].startswith("random")}
    for cell in cells:
        beside = control.get(kind(cell))
        for name in COMPARED:
            cell[f"{name} - random"] = cell[name] - beside[name] if beside else None


def table(cells: list[dict[str, Any]], rows: list[str]) -> str:
    lines = [
        "| row | " + " | ".join(name.replace("_", " ") for name in FIGURES) + " |",
        "|---|" + "---|" * len(FIGURES),
    ]
    for row in rows:
        mine, texts = [cell for cell in cells if cell["row"] == row], []
        for name, digits in FIGURES.items():
            values = [cell[name] for cell in mine if cell[name] is not None]
            if not values or (row.startswith("random") and " - " in name):
                texts.append("")
                continue
            mean, low, high = mean_and_interval(values)
            text = f"{mean:.{digits}f}"
            texts.append(
                text if name == "psnr" or math.isnan(low) else f"{text} ({low:.{digits}f} to {high:.{digits}f})"
            )
        lines.append(f"| {row} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def strip(x: torch.Tensor, path: Path) -> None:
    """Samples side by side, each enlarged to about 48 px."""
    from PIL import Image

    size = x.shape[-1] * max(1, 48 // x.shape[-1])
    page = Image.new("RGB", (len(x) * (size + 2), size), "white")
    for i, picture in enumerate(x):
        pixels = (picture * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        page.paste(Image.fromarray(pixels).resize((size, size), 0), (i * (size + 2), 0))
    page.save(path)


def sheet(strips: dict[str, Path], path: Path, shown: int) -> None:
    """A line of samples for each row, `shown` of them."""
    from PIL import Image, ImageDraw

    found = {name: Image.open(place) for name, place in strips.items() if place.exists()}
    lines = {name: line.crop((0, 0, shown * (line.height + 2), line.height)) for name, line in found.items()}
    if not lines:
        return
    wide, high = (max(line.size[axis] for line in lines.values()) for axis in range(2))
    page = Image.new("RGB", (150 + wide, len(lines) * (high + 4)), "white")
    pen = ImageDraw.Draw(page)
    for number, (name, line) in enumerate(lines.items()):
        pen.text((4, number * (high + 4) + high // 3), name, fill="black")
        page.paste(line, (150, number * (high + 4)))
    page.save(path)


def machine() -> str:
    """How many cores of which processor, where Linux tells its name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if "model name" in line] or [platform.machine()]
    return f"{os.cpu_count()} cores of an {names[0]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--work", type=Path, default=Path("out/udp"), help="where cells lie")
    parser.add_argument("--json", type=Path, help="default: benchmarks/results/ and the recipe's name")
    parser.add_argument("--sheet", type=Path, help="default: the recipe's name in --work")
    parser.add_argument("--shown", type=int, default=SHOWN, help="samples of a row on the sheet")
    parser.add_argument("--rows", nargs="+", help="these instead of the recipe's")
    parser.add_argument("--seeds", type=int, nargs="+", help="these instead of the recipe's")
    parser.add_argument("--jobs", type=int, default=2, help="cells at a time, each with its share of the threads")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no cell after this time")
    options = parser.parse_args()

    started = time.monotonic()
    study = Study(**tomllib.loads(options.recipe.read_text(encoding="utf-8")))
    rows, seeds = options.rows or study.rows, options.seeds or study.seeds
    options.work.mkdir(parents=True, exist_ok=True)
    places = {
        (row, seed): options.work / f"{study.data}-{name_of(study, row, seed)}.json" for seed in seeds for row in rows
    }
    until = time.time() + 60 * options.minutes
    wanted = [(*cell, place, until) for cell, place in places.items() if not place.exists()]
    threads = max(1, torch.get_num_threads() // options.jobs)
    with ProcessPoolExecutor(options.jobs, get_context("spawn"), begin, (study, threads)) as pool:
        for line in pool.map(work, *zip(*wanted)) if wanted else ():
            print(line, end="", flush=True)
    cells = [json.loads(place.read_text()) for place in places.values() if place.exists()]
    beside_random(cells)
    strips = {row: place.with_suffix(".png") for (row, seed), place in places.items() if seed == seeds[0]}
    about = {"title": study.title, "machine": machine(), "eps": study.eps, "seeds": seeds, **facts_of(study)}
    about["minutes, this run"] = round((time.monotonic() - started) / 60, 1)
    about["processor minutes, all cells"] = round(sum(cell["cpu_s"] for cell in cells) / 60, 1)
    print(f"\n{study.title}; " + "; ".join(f"{k}: {v}" for k, v in about.items() if k != "title") + "\n")
    print(table(cells, rows))
    sheet(strips, options.sheet or options.work / f"{options.recipe.stem}.png", min(options.shown, SHOWN))
    target = options.json or Path(__file__).parent / "results" / f"{options.recipe.stem}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"about": about, "cells": cells}, indent=1) + "\n")


if __name__ == "__main__":
    main()
