"""A rows.json as a benchmark would write it: methods of known strength, subjects of known difficulty, and noise."""

import itertools
import json
import random
from pathlib import Path

import numpy as np

from unlearnable.images import files

METHODS = {
    "random": 0.02,
    "advdm": 0.38, "photoguard": 0.22, "mist": 0.41, "sds": 0.12, "fsmg": 0.3, "aspl": 0.46, "ace": 0.35,
    "udp": 0.27, "eudp": 0.33, "ldu:k=4": 0.44, "ldu-fast": 0.15,
}  # fmt: skip
PURIFIES = {"none": 1.0, "jpeg:75": 0.6, "blur:1": 0.5, "resize:0.5": 0.55, "noise:8": 0.7, "diffpure:0.15": 0.25}
ATTACKS = {"dreambooth": 1.0, "lora": 0.7, "textual-inversion": 0.15}
BUDGETS = {"psnr:36.1": 1.0, "linf:8": 1.1}


def rows(subjects=10, methods=METHODS, purifies=PURIFIES, attacks=ATTACKS, budgets=BUDGETS, seeds=(0,), seed=0):
    """Rows in the grid's order; L = untouched - gain * (1 - strength * survival), with noise of 5 % of the gain."""
    draw, found = random.Random(seed), []
    for number in range(subjects):
        subject, kind = (f"objects/thing-{number}", "object") if number < 7 else (f"styles/painter-{number}", "style")
        gain, known = 0.12 + 0.02 * (number % 4), 0.9 + 0.01 * number
        base = {
            "model": "embedded",
            "subject": subject,
            "kind": kind,
            "prompt": "same",
            "defender": "embedded",
            "share": 1.0,
        }

        def row(method, budget="", purify="", attack="", drop=0.0, seed=0, base=base, known=known, number=number):
            wobble = [known * (1 + 0.1 * i) for i in range(4)]
            trained = method != "untouched"
            fidelity = (
                {"psnr": 36.1 + 0.1 * draw.random(), "ssim": 0.95, "linf": 8.0, "perceptual": 0.2} if budget else None
            )
            return base | {
                "cell": f"{draw.getrandbits(64):016x}", "method": method, "budget": budget, "purify": purify,
                "attack": attack, "seed": seed, "held_out": [x * (1 - drop) for x in wobble],
                "own": [x * (1 - 2 * drop) for x in wobble],
                "trained": {"before": 1.0, "after": 1 - 2 * abs(drop)} if trained else None,
                "similarity": [0.4 + drop, 0.5 + drop] if trained else None, "fidelity": fidelity,
                "seconds": {"protect": 1.5 if budget else None, "attack": 20.0},
                "protected": [f"pictures/{number}-{method[:3]}.png"],
                "samples": [f"pictures/{number}-{method[:3]}-drawn.png"] * 2,
            }  # fmt: skip

        found.append(row("untouched"))
        for (attack, power), (purify, survival), s in itertools.product(attacks.items(), purifies.items(), seeds):
            learned = gain * power * (0.9 if purify != "none" else 1)
            found.append(row("clean", "", purify, attack, learned, s))
            for budget, method in itertools.product(budgets, methods):
                left = methods[method] * survival * budgets[budget] + draw.gauss(0, 0.05)
                found.append(row(method, budget, purify, attack, learned * (1 - left), s))
    return found


def study(found, missing=()):
    return {
        "study": {"models": ["embedded"], "seeds": [0]}, "command": "unlearnable bench run embedded.toml -o OUT",
        "machine": "2 cores of a synthetic processor", "versions": {"unlearnable": "0.1.0", "torch": "2.13.0"},
        "rows": found, "missing": list(missing),
    }  # fmt: skip


def save(out: Path, found, missing=(), pictures=False) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    (out / "rows.json").write_text(json.dumps(study(found, missing)))
    if pictures:
        rng = np.random.default_rng(0)
        for path in sorted({path for r in found for path in (*r["protected"], *r["samples"])}):
            coarse = rng.integers(0, 255, (8, 8, 3)).astype(np.uint8)
            noise = rng.integers(0, 12, (128, 128, 3)).astype(np.uint8)
            files.write(files.Picture(np.kron(coarse, np.ones((16, 16, 1), np.uint8)) // 2 + noise), out / path)
    return out
