"""What a step against encoders costs over the encoders' own passes, and how long a picture takes.

    python benchmarks/speed/encoders.py              # 512 px, the stand-ins that ship
    python benchmarks/speed/encoders.py --side 1024

Bare is each encoder forward and backward to the picture, once, as torch runs it. Steps and bare passes take turns in
one run. A step that sees the picture resized and compressed encodes the clean picture so, too: half of them do.
"""

from __future__ import annotations

import argparse
import statistics
import sys

import torch
from clock import Clock
from step import pictures

from unlearnable.models.encoders.load import Encoder
from unlearnable.models.load import load_model
from unlearnable.protection.adjust import adjusted
from unlearnable.protection.against import loaded
from unlearnable.protection.strengths import protection
from unlearnable.protection.transforms import identity, platform

WARM_UP = 1  # steps that are not counted


def bare(encoders: tuple[Encoder, ...], x: torch.Tensor) -> None:
    seen = x.detach().requires_grad_(True)
    torch.stack([encoder(seen).square().mean() for encoder in encoders]).sum().backward()


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, x = load_model("embedded"), pictures(1, args.side)
    settings, clock = protection("encoders"), Clock(model.device)
    encoders = loaded(settings.against.encoders, "cpu", True)
    for name, transform in (("as it is", identity), ("resized and compressed", platform)):
        ours, others = [], []
        mark = clock.now()

        def turn(done: int, total: int, ours: list[float] = ours, others: list[float] = others) -> None:
            nonlocal mark
            ours.append(clock.now() - mark)
            others.append(clock.of(lambda: bare(encoders, x)))
            mark = clock.now()

        adjusted(settings, steps=args.steps + WARM_UP, transforms=(transform,))(model, x, callback=turn)
        step, passes = (statistics.median(times[WARM_UP:]) for times in (ours, others))
        print(f"{name:24} a step {step:.2f} s, bare passes {passes:.2f} s, ratio {step / passes:.2f}", flush=True)
    mark = clock.now()
    settings(model, x)
    print(
        f"{settings.steps} steps at {args.side} px: {clock.now() - mark:.1f} s, {args.threads} threads, after start-up"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
