"""How many times faster `ldu-fast`, one pass of a trained network, is than a pixel method's steps.

    python benchmarks/speed/one_pass.py [--steps 100] [--side 128] [--rounds 3] [--against advdm]

Both protect the same picture in turns, in one run, at the same budget; the ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from functools import partial

import torch
from clock import Clock
from step import pictures

from unlearnable import load_model
from unlearnable.recipe import Recipe

FAST = "ldu-fast"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=100, help="of the pixel method")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3, help="after one that is not counted")
    parser.add_argument("--against", default="advdm")
    given = parser.parse_args()
    model, x = load_model("embedded"), pictures(1, given.side)
    clock = Clock(model.device)
    quick = Recipe(method=FAST).protection()
    steady = Recipe(method=given.against, psnr=36.1, steps=given.steps).protection()
    pairs = [
        (clock.of(partial(quick, model, x, prompt="a photo")), clock.of(partial(steady, model, x, prompt="a photo")))
        for _ in range(given.rounds + 1)
    ]
    fast, slow = (statistics.median(side) for side in zip(*pairs[1:]))
    told = f"{FAST} {fast:.3f} s, {given.against} {given.steps} steps {slow:.2f} s, {given.side} px"
    sys.stdout.write(f"{told}, {torch.get_num_threads()} threads: {slow / fast:.0f} times\n")


if __name__ == "__main__":
    main()
