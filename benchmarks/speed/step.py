"""What a protection step costs over the arithmetic it cannot do without.

    python benchmarks/speed/step.py [--only embedded|sd15] [--json]

Bare is encode, U-Net and the way back to the pixels, written with diffusers alone. The engine's own steps and bare
steps take turns in one run, so that whatever else the machine does disturbs both alike.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict

import torch
from clock import Clock, forget_peak, peak_gib
from figures import Result, report
from subjects import Subject, named, sd15
from torch import Tensor

from unlearnable.errors import UnlearnableError
from unlearnable.models.base import Model
from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.rng import generator, normal

WARM_UP = 2  # steps that are not counted: allocators and kernels settle


def pictures(count: int, side: int) -> Tensor:
    return (torch.rand(count, 3, side, side, generator=generator("speed")) * 255).round() / 255


def bare_step(model: Model, x: Tensor) -> Callable[[], None]:
    """Encode, U-Net, backward to the input, with the pipeline's own networks and nothing of ours between them."""
    vae, unet, schedule = model.pipe.vae, model.pipe.unet, model.schedule
    x = x.to(model.device)
    kind, ab = next(unet.parameters()).dtype, schedule.alpha_bar[500]
    noise = normal(["bare"], model.latent_shape(*x.shape[-2:]), 0, device=model.device)
    t = torch.full([len(x)], 500, device=model.device)
    text = model.condition(["a photo"]).detach().expand(len(x)).tensors["text"].to(kind)

    def step() -> None:
        seen = x.detach().requires_grad_(True)
        with torch.autocast(model.device.type, dtype=model.amp or torch.bfloat16, enabled=model.amp is not None):
            z = vae.encode((2 * seen - 1).to(kind)).latent_dist.mode() * vae.config.scaling_factor
            out = unet((ab.sqrt() * z + (1 - ab).sqrt() * noise).to(kind), t, encoder_hidden_states=text).sample
        (out.float() - noise).square().mean().backward()
        if not seen.grad.isfinite().all():
            raise UnlearnableError(f"the bare gradient of {model.name!r} is not finite: use --dtype float32")

    return step


def usual_step(model: Model, x: Tensor) -> Callable[[], None]:
    """The same as published loops run it: every parameter asks for a gradient that nobody reads."""
    step, networks = bare_step(model, x), (model.pipe.vae.encoder, model.pipe.vae.quant_conv, model.pipe.unet)

    def usual() -> None:
        for network in networks:
            network.requires_grad_(True)
        step()
        for network in networks:
            network.requires_grad_(False).zero_grad(set_to_none=True)

    return usual


def in_turns(model: Model, x: Tensor, steps: int) -> tuple[list[float], list[float]]:
    """Seconds of each engine step and of the bare step after it; the engine's callback is where it waits its turn."""
    clock, bare = Clock(model.device), bare_step(model, x)
    engine_times: list[float] = []
    bare_times: list[float] = []
    mark = 0.0

    def turn(done: int, total: int) -> None:
        nonlocal mark
        engine_times.append(clock.now() - mark)
        bare_times.append(clock.of(bare))
        mark = clock.now()

    mark = clock.now()
    protect(model, x, steps + WARM_UP, turn)
    return engine_times[WARM_UP:], bare_times[WARM_UP:]


def protect(model: Model, x: Tensor, steps: int, callback: Callable[[int, int], None] | None = None) -> Tensor:
    return Protection("speed", constraint=LinfConstraint(8), steps=steps)(model, x, prompt="a photo", callback=callback)


def singly(model: Model, x: Tensor) -> None:
    for row in x:
        protect(model, row[None], 1)


def measure(subject: Subject, steps: int) -> Result:
    model, x = subject.model, pictures(subject.batch, subject.side)
    one, clock = x[:1], Clock(model.device)
    peaks = []
    bare, usual = bare_step(model, one), usual_step(model, one)
    for work in (bare, lambda: protect(model, one, 1)):
        forget_peak(model.device)
        work()
        peaks.append(peak_gib(model.device))
    engine_times, bare_times = in_turns(model, one, steps)
    few = max(2, steps // 6)
    whole = [(clock.of(lambda: protect(model, x, 1)), clock.of(lambda: singly(model, x))) for _ in range(few)]
    forget_peak(model.device)
    pairs = [(clock.of(usual), clock.of(bare)) for _ in range(few + 1)][1:]
    ratios = sorted(a / b for a, b in zip(engine_times, bare_times))
    engine_s, bare_s = statistics.median(engine_times), statistics.median(bare_times)
    return Result(
        model=model.name,
        pixels=subject.side,
        device=torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else platform.machine(),
        threads=torch.get_num_threads(),
        dtype="bfloat16" if model.amp else "float32",
        steps=steps,
        engine_s=engine_s,
        bare_s=bare_s,
        ratio=engine_s / bare_s,
        spread=(ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]),
        engine_peak_gib=peaks[1],
        bare_peak_gib=peaks[0],
        usual_s=statistics.median(a for a, _ in pairs),
        usual_ratio=statistics.median(a / b for a, b in pairs),
        usual_peak_gib=peak_gib(model.device),
        batch=subject.batch,
        batched_s=statistics.median(a for a, _ in whole),
        singles_s=statistics.median(b for _, b in whole),
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=["embedded", "sd15"])
    parser.add_argument("--model", default="embedded", help="another model's folder or id in place of the embedded one")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--steps", type=int, help="counted steps (default: 30 embedded, 8 SD 1.5-sized)")
    parser.add_argument("--side", type=int, help="pixels (default: 128 embedded, 256 SD 1.5-sized)")
    parser.add_argument("--batch", type=int, help="pictures at once (default: 8; SD 1.5-sized on a CPU: 2)")
    parser.add_argument("--threads", type=int, help="of the processor (default: all; 1 is steadier on a busy machine)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    where = (options.device, options.dtype, options.side, options.batch)
    failed, results = 0, []
    for name, steps in (("embedded", 30), ("sd15", 8)):
        if options.only not in (None, name):
            continue
        try:
            subject = named(options.model, *where) if name == "embedded" else sd15(*where)
            results.append(measure(subject, options.steps or steps))
        except UnlearnableError as error:
            print(error, file=sys.stderr)
            failed = 3
            continue
        if not options.json:
            print(report(results[-1]), flush=True)
    if options.json:
        print(json.dumps([asdict(result) for result in results], indent=2))
    return failed


if __name__ == "__main__":
    sys.exit(main())
