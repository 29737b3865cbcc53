"""`protect --ray` over many small pictures, bad ones among them, against the path in one process.

    OMP_NUM_THREADS=1 python benchmarks/speed/ray_protect.py [--pictures 2000] [--bad 20] [--side 96] [--method random]

Prints what came out, pictures a second of both paths, memory of the driver and its largest worker as the run goes on,
and whether both paths wrote the same bits.
"""

import argparse
import io
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
import torch
from PIL import Image

from unlearnable.evaluation.machine import processor
from unlearnable.jobs import protect as batch
from unlearnable.recipe import Recipe

MARKS = 5  # measurements of memory


def fill(folder: Path, pictures: int, bad: int, side: int) -> None:
    """Coloured noise under a gradient, each different; every so many is cut off, or no picture at all."""
    rng, folder_of = np.random.default_rng(0), 250
    slope = np.linspace(0, 160, side)[:, None, None]
    for i in range(pictures):
        path = folder / f"{i // folder_of:03}" / f"{i:06}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        if bad and i % (pictures // bad) == 0:
            path.write_bytes(b"\x89PNG\r\n\x1a\n cut off" if i % 2 else b"no picture")
            continue
        data = io.BytesIO()
        pixels = slope + rng.integers(0, 60, 3) + rng.integers(0, 30, (side, side, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(data, "PNG")
        path.write_bytes(data.getvalue())


def memory() -> tuple[float, float]:
    """MB of this process and of the largest Ray worker."""
    workers = [0]
    for process in psutil.Process().children(recursive=True):
        try:
            if "ray::Worker" in " ".join(process.cmdline()):
                workers.append(process.memory_info().rss)
        except psutil.Error:
            continue
    return psutil.Process().memory_info().rss / 1e6, max(workers) / 1e6


def run(source: Path, out: Path, recipe: Recipe, total: int, ray: str | None) -> tuple[dict[str, int], float, float]:
    """Counts, pictures a second from the first result on, and seconds until that came."""
    counts, started, first = {"protected": 0, "failed": 0}, time.monotonic(), 0.0
    for i, result in enumerate(batch.protect([source], out, recipe, recursive=True, ray=ray), 1):
        counts[result.status] += 1
        if not first and result.status == "protected":
            first = time.monotonic()
        if ray and i % (total // MARKS) == 0:
            driver, worker = memory()
            say(f"  {i:6} of {total}: driver {driver:.0f} MB, worker {worker:.0f} MB")
    return counts, (counts["protected"] - 1) / (time.monotonic() - first), first - started


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--bad", type=int, default=20)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--method", default="random")
    parser.add_argument("--steps", type=int)
    given = parser.parse_args()
    recipe = Recipe(method=given.method, steps=given.steps)
    say(f"{given.pictures} pictures of {given.side} px, {given.bad} bad; {given.method}, {processor()},"
        f" {torch.get_num_threads()} threads a process")  # fmt: skip
    with TemporaryDirectory() as name:
        place = Path(name)
        fill(place / "in", given.pictures, given.bad, given.side)
        for ray in ("auto", None):
            out = place / ("ray" if ray else "here")
            counts, pace, wait = run(place / "in", out, recipe, given.pictures, ray)
            said = ", ".join(f"{count} {status}" for status, count in counts.items())
            say(f"{'ray' if ray else 'one process'}: {said}; {pace:.1f} pictures a second after {wait:.0f} s of start")
        made = {p.relative_to(place / "ray"): p.read_bytes() for p in sorted((place / "ray").rglob("*.png"))}
        same = all((place / "here" / name).read_bytes() == data for name, data in made.items())
        say(f"{len(made)} outputs, the same bits on both paths: {'yes' if same else 'NO'}")


if __name__ == "__main__":
    main()
