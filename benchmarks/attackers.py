"""Does each attacker learn each subject, and what does it cost? The table behind the presets for the embedded model.

    python benchmarks/attackers.py                        # every attacker, 8 subjects; give it again to go on
    python benchmarks/attackers.py --attacks dreambooth --subjects backpack,dog --sheets out/attackers

Every third photograph of a subject, from the second on, is held out; the others are learned. Loss: mean denoising loss
on 16 fixed draws of noise and time. Similarity: mean cosine of the features of four generated pictures to those of the
held-out ones, of the untouched model and of what was learned. Every cell has a process of its own, so that its peak
memory is its own.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from unlearnable import load_model
from unlearnable.errors import SetupError
from unlearnable.evaluation.machine import processor
from unlearnable.images import sheet
from unlearnable.images.tensors import pictures, squares
from unlearnable.jobs.personalize import peak
from unlearnable.metrics.features import features
from unlearnable.metrics.subject import similarity
from unlearnable.personalization import presets
from unlearnable.personalization.base import identity, sized
from unlearnable.personalization.concept import generate
from unlearnable.personalization.learned import fit_of
from unlearnable.personalization.prompts import without

SUBJECTS = "backpack,berry_bowl,can,dog2,dog3,pink_sunglasses,shiny_sneaker,cat"  # with six photographs, but the cat
ATTACKS = "dreambooth,lora,textual-inversion"


def prompt_of(subject: str) -> str:
    """``a photo of sks duck toy`` for the folder duck_toy; the second dog is a dog."""
    return f"a photo of sks {subject.replace('_', ' ').rstrip('0123456789')}"


def cell(options: argparse.Namespace, attack: str, subject: str) -> dict:
    """One attacker on one subject, or the row that is there already."""
    torch.set_num_threads(options.threads)
    model = load_model(options.model)
    settings = presets.attacker(attack, model, options.preset)
    photographs = squares(pictures([options.data / subject], False)[0], model.size)
    kept, prompt = torch.arange(len(photographs)) % 3 == 1, prompt_of(subject)
    seen, unseen = photographs[~kept], photographs[kept]
    key = identity(settings, model, sized(model, seen), prompt, options.seed, None)
    for row in rows(options.out):
        if row["key"] == key:
            return row
    before, started = peak(), time.monotonic()
    concept = settings.fit(model, seen, prompt, seed=options.seed)
    seconds = time.monotonic() - started
    row = {
        "key": key, "attack": attack, "subject": subject, "prompt": prompt, "learned": len(seen),
        "held_out": len(unseen), "own": asdict(fit_of(model, concept, seen, seed=options.seed)),
        "unseen": asdict(fit_of(model, concept, unseen, seed=options.seed)), "seconds": round(seconds, 1),
        "memory_mb": peak(), "memory_before_mb": before, "settings": asdict(settings), "model": options.model,
        "seed": options.seed, "threads": options.threads,
    }  # fmt: skip
    made = concept.generate([prompt] * 4, seed=options.seed)
    plain = generate(model, [without(prompt, settings.token)] * 4, seed=options.seed)
    row["similarity"] = {"before": alike(plain, unseen), "after": alike(made, unseen)}
    if options.sheets:
        sheet.write([seen, plain, made], options.sheets / f"{subject}-{attack}.png")
    return row


def alike(made: torch.Tensor, real: torch.Tensor) -> float | None:
    """Mean cosine in the embedded feature network, where its weights are."""
    try:
        network = features(device="cpu")
    except SetupError:
        return None
    return float(similarity(network(made), network(real)).mean())


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def change(fits: list[dict]) -> np.ndarray:
    return np.array([fit["after"] / fit["before"] - 1 for fit in fits])


def interval(values: np.ndarray) -> str:
    """Mean and its 95 % bootstrap interval over subjects, in percent."""
    means = np.random.default_rng(0).choice(values, (2000, len(values))).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{values.mean():+.1%} ({low:+.1%} to {high:+.1%})"


def table(found: list[dict]) -> str:
    lines = ["| attacker | subject | own pictures | held out: untouched | after | change | similarity | s | peak MB |"]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for r in found:
        own, unseen = (change([r[part]])[0] for part in ("own", "unseen"))
        before, after = (f"{r['unseen'][when]:.4f}" for when in ("before", "after"))
        cosines = [r["similarity"][when] for when in ("before", "after")]
        likeness = "-" if None in cosines else " to ".join(f"{cosine:.3f}" for cosine in cosines)
        cells = [r["attack"], r["subject"], f"{own:+.1%}", before, after, f"{unseen:+.1%}", likeness]
        lines.append("| " + " | ".join([*cells, f"{r['seconds']:.0f}", str(r["memory_mb"])]) + " |")
    for attack in dict.fromkeys(r["attack"] for r in found):
        mine = [r for r in found if r["attack"] == attack]
        own, unseen = (interval(change([r[part] for r in mine])) for part in ("own", "unseen"))
        seconds, memory = (np.mean([r[part] for r in mine]) for part in ("seconds", "memory_mb"))
        lines.append(f"| **{attack}** | mean | {own} | | | {unseen} | | {seconds:.0f} | {memory:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/eval/objects"))
    parser.add_argument("--subjects", default=SUBJECTS)
    parser.add_argument("--attacks", default=ATTACKS)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--preset", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("out/attackers.jsonl"))
    parser.add_argument("--sheets", type=Path, help="folder for contact sheets: learned above, generated below")
    options = parser.parse_args()
    found = []
    for attack in options.attacks.split(","):
        for subject in options.subjects.split(","):
            with ProcessPoolExecutor(1, get_context("spawn")) as alone:
                row = alone.submit(cell, options, attack, subject).result()
            if row["key"] not in {r["key"] for r in rows(options.out)}:
                options.out.parent.mkdir(parents=True, exist_ok=True)
                with options.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
            found.append(row)
            print(f"{attack} {subject}: held out {change([row['unseen']])[0]:+.1%}", file=sys.stderr, flush=True)
    print(f"model {options.model}, seed {options.seed}, {options.threads} threads, {processor()}\n")
    print(table(found))


if __name__ == "__main__":
    main()
