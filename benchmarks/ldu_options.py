"""What each option of LDU does, quickly: the gain in loss of attackers that the protection never saw.

    python benchmarks/ldu_options.py --steps 20 --budget perceptual:0.12
    python benchmarks/ldu_options.py --steps 30 --methods "advdm,ldu:phi=ddim;surrogate=base;optimiser=adam"

Two photographs of each subject are protected. The attackers are LoRAs of another seed than any surrogate, taught the
clean pictures, and the model as it is. Gain: of their mean denoising loss (8 fixed draws), times 1000, over the clean
pictures' after the same countermeasure. It is what an ascent can move, not what an attacker who trains on protected
pictures gets: that is `unlearnable bench run`, which takes hours where this takes minutes.
"""

import argparse
import json
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unlearnable import load_model
from unlearnable.bench.study import Study
from unlearnable.bench.subjects import subjects as found_in
from unlearnable.evaluation.material import small
from unlearnable.images import files
from unlearnable.models.base import Model
from unlearnable.models.features import distance
from unlearnable.models.finetune.training import denoising_loss
from unlearnable.protection.perceptual import network
from unlearnable.protection.personalised import Personalised
from unlearnable.protection.surrogates import Frozen, View
from unlearnable.protection.transforms import fixed
from unlearnable.rng import normal

COUNTERMEASURES = {
    "none": lambda x: x, "jpeg 75": fixed("jpeg", 75), "blur 1.0": fixed("blur", 1.0),
    "resize 0.5": fixed("resize", 0.5),
}  # fmt: skip
FORMER = "ldu:phi=ddim;surrogate=base;objective=denoising;rounds=1"  # what the table was made with
METHODS = f"random,advdm,{FORMER};residual=0,{FORMER};residual=0.5"
PROMPT, SEED, OTHER, DRAWS, TAUGHT = "a photo of sks", 1, 77, 8, 80


@dataclass(frozen=True)
class Subject:
    """Photographs ``[n 3 s s]``, on the 8-bit grid."""

    name: str
    seen: Tensor


@torch.no_grad()
def loss(view: View, x: Tensor) -> float:
    """Mean denoising loss on fixed noise and evenly spread times."""
    z, total = view.model.encode(x), 0.0
    for i in range(DRAWS):
        t = torch.full([len(z)], int((i + 0.5) / DRAWS * len(view.model.schedule)))
        noise = normal([f"p{i}"], z.shape[1:], "proxy").expand_as(z)
        total += float(denoising_loss(view.model, z, noise, t, view.condition).mean()) / DRAWS
    return total


def row(run: argparse.Namespace, model: Model, subjects: list[Subject], views: dict, method: str) -> dict:
    """Gains, distances and seconds of one method."""
    settings = run.study.recipe(method.replace(";", ","), run.budget, run.model, PROMPT).protection()
    gains: dict[tuple[str, str], list[float]] = {}
    started, far, noise = time.monotonic(), [], []
    for s in subjects:
        x = s.seen
        y = settings(model, x, prompt=PROMPT, seed=SEED)
        y = x + torch.stack([settings.constraint.seal(a * 255, (b - a) * 255) for a, b in zip(x, y)]) / 255
        far.append(float(distance(x, y, network(x.device)).mean()))
        noise.append(float(-10 * torch.log10((y - x).square().mean())))
        for kind, view in views[s.name].items():
            for chain, f in COUNTERMEASURES.items():
                gains.setdefault((kind, chain), []).append(loss(view, f(y)) - loss(view, f(x)))
    found = {" ".join(where): float(1000 * np.mean(values)) for where, values in gains.items()}
    return {"method": method, "gains": found, "perceptual": float(np.mean(far)), "psnr": float(np.mean(noise)),
            "seconds": round(time.monotonic() - started, 1)}  # fmt: skip


def listed(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/eval"))
    parser.add_argument("--subjects", type=listed, default=["cat", "duck_toy"])
    parser.add_argument("--methods", type=listed, default=listed(METHODS))
    parser.add_argument("--budget", default="psnr:36.1", help="psnr:DB or perceptual:DISTANCE")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--json", type=Path)
    run = parser.parse_args()
    run.study = Study(subjects=tuple(f"objects/{name}" for name in run.subjects), steps=run.steps)
    model, subjects = load_model(run.model, device="cpu"), []
    for found in found_in(run.data, "folders", run.study.subjects, 2):
        x = torch.stack([small(files.read(path), model.size) for path in found.protected])
        subjects.append(Subject(found.name, (x * 255).round() / 255))
    views = {}
    for s in subjects:
        attacker = Personalised(("lora",), TAUGHT).begin(model, PROMPT, OTHER).before(s.seen, s.seen)[0]
        views[s.name] = {"attacker": attacker, "model": Frozen().begin(model, "a photo", 0).before(s.seen, s.seen)[0]}
    rows = []
    print("| method | " + " | ".join([*COUNTERMEASURES, "mean", "perceptual", "PSNR", "s"]) + " |\n" + "|---" * 9 + "|")
    for method in run.methods:
        rows.append(row(run, model, subjects, views, method))
        mine = rows[-1]
        values = [mine["gains"][f"attacker {chain}"] for chain in COUNTERMEASURES]
        texts = [f"{v:+.0f}" for v in [*values, np.mean(values)]]
        texts += [f"{mine['perceptual']:.3f}", f"{mine['psnr']:.1f}", f"{mine['seconds']:.0f}"]
        print(f"| {method} | " + " | ".join(texts) + " |", flush=True)
    print(f"\n{run.budget}, {run.steps} steps; {platform.machine()}, {torch.get_num_threads()} threads")
    if run.json:
        run.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
