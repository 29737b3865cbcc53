"""How much each protection raises the embedded model's denoising loss on the protected picture, beside random noise.

    python benchmarks/loss.py                      # photographs that scikit-image carries
    python benchmarks/loss.py FOLDER --model ID    # your own pictures, another model
    python benchmarks/loss.py --psnr 36.1 --steps 30 --count 4 --methods "random,advdm+eot,ldu+eot,ldu:t_start=1+eot"

This is the loss of a model that has not been fine-tuned. It says that the ascent works; it does not say what an
attacker who trains on the pictures gets. Intervals are 95 % bootstrap intervals over pictures of the mean gain in loss.
"""

import argparse
import json
import platform
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from unlearnable import load_model
from unlearnable.images import files
from unlearnable.images.tensors import tensor
from unlearnable.options import applied
from unlearnable.protection import strengths
from unlearnable.protection.constraints import LinfConstraint, psnr
from unlearnable.protection.engine import Protection
from unlearnable.protection.transforms import fixed, scale

COUNTERMEASURES = {
    "none": lambda x: x,
    "jpeg 75": fixed("jpeg", 75),
    "blur 1.0": fixed("blur", 1.0),
    "resize 0.5": fixed("resize", 0.5),
}


def photographs() -> list[np.ndarray]:
    """The whole picture and four quarters of each: fifteen pictures of three subjects."""
    from skimage import data

    pictures = []
    for photo in (data.astronaut(), data.cat(), data.coffee()):
        h, w = photo.shape[0] // 2, photo.shape[1] // 2
        pictures += [photo, photo[:h, :w], photo[h:, :w], photo[:h, w:], photo[h:, w:]]
    return pictures


def square(pixels: np.ndarray, side: int) -> torch.Tensor:
    """Centre crop scaled to `side` px, on the 8-bit grid."""
    edge = min(pixels.shape[:2])
    top, left = (pixels.shape[0] - edge) // 2, (pixels.shape[1] - edge) // 2
    x = tensor(pixels[top : top + edge, left : left + edge])[None] / 255
    return (scale(x, [side, side]).clamp(0, 1) * 255).round() / 255


def interval(values: np.ndarray) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    means = rng.choice(values, (2000, len(values))).mean(1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--model", default="embedded")
    parser.add_argument(
        "--methods", default="random,advdm,eudp,advdm+eot,eudp+eot,udp,mist,photoguard,sds,sds-plus,ace"
    )
    parser.add_argument("--eps", type=float, default=8)
    parser.add_argument("--psnr", type=float, help="dB, in place of --eps")
    parser.add_argument("--steps", type=int, help="of ascent, in place of each method's own")
    parser.add_argument("--count", type=int, help="of pictures, evenly taken from all")
    parser.add_argument("--prompt", default="a photo")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    model, started = load_model(options.model), time.monotonic()
    found = files.find([options.folder], True, None) if options.folder else []
    pictures = [files.read(source).pixels for source, _ in found] or photographs()
    pictures = pictures[:: max(1, len(pictures) // (options.count or len(pictures)))]
    x = torch.cat([square(pixels, model.size) for pixels in pictures])
    budget = LinfConstraint(options.eps) if options.psnr is None else psnr(options.psnr)
    probe = Protection("probe")

    def loss(y: torch.Tensor) -> dict[str, np.ndarray]:
        seen = {name: change(y) for name, change in COUNTERMEASURES.items()}
        return {name: probe.evaluate(model, z, prompt=options.prompt).cpu().numpy() for name, z in seen.items()}

    clean, rows = loss(x), {}
    rows["clean"] = {"loss": {k: float(v.mean()) for k, v in clean.items()}}
    for name in options.methods.split(","):
        method, eot = name.removesuffix("+eot"), name.endswith("+eot")
        method, _, more = method.partition(":")
        settings = applied(strengths.protection(method, "standard" if eot else "paper"), more.replace(";", ","))
        settings = replace(settings, constraint=budget)
        if options.steps and settings.steps:
            settings = replace(settings, steps=-(-options.steps // settings.rounds))
        begun = time.monotonic()
        y = torch.cat([settings(model, part, prompt=options.prompt, seed=options.seed) for part in x.split(8)]).cpu()
        y = x + torch.stack([settings.constraint.seal(a * 255, (b - a) * 255) for a, b in zip(x, y)]) / 255
        found_loss = loss(y)
        gain = {k: found_loss[k] - clean[k] for k in clean}
        rows[name] = {
            "loss": {k: float(v.mean()) for k, v in found_loss.items()},
            "gain": {k: [float(v.mean()), *interval(v)] for k, v in gain.items()},
            "linf": float((y - x).abs().max() * 255),
            "seconds": (time.monotonic() - begun) / len(x),
        }
        print(f"{name:12} done, {rows[name]['seconds']:.1f} s a picture", flush=True)

    print(f"\n{len(x)} pictures of {model.size} px, {budget.describe()}, model {options.model}, seed {options.seed}")
    print(f"machine: {platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, {model.device}")
    print("gain in denoising loss over the clean picture, times 1000, after each countermeasure (95 % interval)\n")
    print("| method | " + " | ".join(COUNTERMEASURES) + " |\n|---|" + "---|" * len(COUNTERMEASURES))
    print("| clean: the loss itself | " + " | ".join(f"{1000 * v:.0f}" for v in rows["clean"]["loss"].values()) + " |")
    for name, row in rows.items():
        if "gain" in row:
            cells = [
                f"{1000 * m:+.0f} ({1000 * low:+.0f} to {1000 * high:+.0f})" for m, low, high in row["gain"].values()
            ]
            print(f"| {name} | " + " | ".join(cells) + " |")
    print(f"\n{time.monotonic() - started:.0f} s in all")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
