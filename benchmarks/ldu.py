"""Protections at equal fidelity: what attackers learn of subjects whose pictures each method protected.

    python benchmarks/ldu.py                                              # a small table; give it again to go on
    python benchmarks/ldu.py --subjects dog,cat,styles/vangogh --attacks dreambooth,lora,textual-inversion \\
        --purify none,jpeg:75,blur:1,resize:0.5,noise:8,diffpure --budgets psnr:36.1,perceptual:0.25 \\
        --methods clean,random,advdm,photoguard,mist,aspl,eudp,ldu,ldu-fast,ldu-paper --seeds 0,1

Cells (pictures protected, purified, attacked) are stored one by one and never computed twice. A method may carry
options, as in ``ldu:k=4;depth=0.5``, so that ablations are rows of the same table. All methods have the same budget,
transforms in the loop, and ascent steps. Loss: of the *clean* pictures that the attacker saw protected, and of
photographs it did not see, under the attacker's model (mean over fixed draws). Protection rate: how much of what the
attacker would have learned from clean pictures, put through the same countermeasure, it did not learn:
``(L - L_clean) / (L_untouched - L_clean)``, ratio of sums over subjects, with a 95 % bootstrap interval over subjects.
"""

import argparse
import json
import platform
import time
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unlearnable import load_model, registry
from unlearnable.auditing.attack import Pictures, Trial
from unlearnable.auditing.material import purified
from unlearnable.images import files
from unlearnable.images.square import square
from unlearnable.metrics.fidelity import psnr as psnr_metric
from unlearnable.metrics.fidelity import ssim
from unlearnable.models.base import Model
from unlearnable.models.features import distance
from unlearnable.protection.constraints import Constraint, psnr
from unlearnable.protection.perceptual import Perceptual, network
from unlearnable.purification.chain import parse
from unlearnable.recipe import Recipe
from unlearnable.rng import image_keys
from unlearnable.store import Cell, Store, code
from unlearnable.work import tensor

CLEAN, NONE = "clean", "none"
CODE = ("models", "protection", "ldu", "rng.py", "options.py")


@dataclass(frozen=True)
class Subject:
    """Photographs ``[n 3 s s]`` that are protected and learned, and others; what an attacker calls them."""

    name: str
    seen: Tensor
    unseen: Tensor
    prompt: str


def subject(data: Path, name: str, photos: int, size: int) -> Subject:
    folder = data / (name if "/" in name else f"objects/{name}")
    found = [path for path, _ in files.find([folder], False, None)]
    x = torch.cat([square(tensor(files.read(path).pixels)[None] / 255, size) for path in found[: 2 * photos]])
    x = (x * 255).round() / 255
    thing = name.split("/")[-1].replace("_", " ").rstrip("0123456789")
    prompt = "a painting in the style of sks" if name.startswith("styles/") else f"a photo of sks {thing}"
    return Subject(name, x[:photos], x[photos:], prompt)


def budget(text: str) -> Constraint:
    kind, _, value = text.partition(":")
    return {"psnr": psnr, "perceptual": Perceptual}[kind](float(value))


def protected(run: argparse.Namespace, model: Model, s: Subject, method: str, limit: str, store: Store) -> tuple:
    """The pictures of a method within a budget, on the 8-bit grid, and how far they are from the clean ones."""
    if method == CLEAN:
        return s.seen, {"psnr": None, "perceptual": 0.0, "ssim": 1.0, "seconds": 0.0}
    name, _, options = method.partition(":")
    recipe = Recipe(method=name, steps=run.steps, options=options.replace(";", ","), prompt=s.prompt)
    settings = replace(recipe.protection(), constraint=budget(limit))
    facts = {"kind": "protected", "code": code(*CODE), "model": model.fingerprint(), "pictures": image_keys(s.seen)}
    cell = Cell(facts | {"recipe": recipe.hash, "budget": limit, "rho": shipped(settings)})
    if (found := store.get(cell)) is None:
        started = time.monotonic()
        y = settings(model, s.seen, prompt=s.prompt, seed=recipe.seed).cpu()
        seconds = (time.monotonic() - started) / len(y)
        y = s.seen + torch.stack([settings.constraint.seal(a * 255, (b - a) * 255) for a, b in zip(s.seen, y)]) / 255
        far = distance(s.seen, y, network(torch.device("cpu")))
        row = {"psnr": float(psnr_metric(y, s.seen).mean()), "ssim": float(ssim(y, s.seen).mean())}
        found = store.put(cell, row | {"perceptual": float(far.mean()), "seconds": seconds}, y)
    return store.load(cell, found), found


def shipped(settings: object) -> list[str]:
    """The trained files that decide what a method makes, by content."""
    import hashlib

    from unlearnable.ldu import method, phi

    if not isinstance(settings, method.TrajectoryShift):
        return []
    there = [path for path in (phi.SHIPPED, method.SHIPPED) if path.is_file()]
    return [hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in there]


def attacked(run: argparse.Namespace, model: Model, s: Subject, attack: str, seen: Pictures | None, seed: int) -> dict:
    """Losses of the clean pictures and of the unseen ones under what an attacker made of some pictures."""
    attacker = registry.attacker(attack, model, run.preset)
    if run.attack_steps:
        attacker = replace(attacker, steps=run.attack_steps)
    trial = Trial(attacker, s.prompt, seed, generated=1, sampling=10, draws=run.draws)
    judged = torch.cat([s.seen, s.unseen])
    judges = Pictures(judged, tuple(image_keys(judged)))
    cell = trial.cell(model, seen, judges)
    if (found := run.store.get(cell)) is None:
        found = run.store.put(cell, *trial(model, seen, judges, run.store.checkpoint(cell)))
    losses = found["held_out"]
    return {"own": float(np.mean(losses[: len(s.seen)])), "unseen": float(np.mean(losses[len(s.seen) :]))}


def cells(run: argparse.Namespace, model: Model) -> list[dict]:
    """Every cell of the table, those that are done taken from the store."""
    rows = []
    for name in run.subjects:
        s = subject(run.data, name, run.photos, model.size)
        untouched = {a: attacked(run, model, s, a, None, run.seeds[0]) for a in run.attacks}
        for limit, method in product(run.budgets, run.methods):
            y, how = protected(run, model, s, method, limit, run.store)
            plain = Pictures(y, tuple(image_keys(y)), tuple(image_keys(s.seen)))
            for chain, attack, seed in product(run.purify, run.attacks, run.seeds):
                seen = plain
                if chain != NONE:
                    seen = purified(parse(chain).with_model(model), plain, seed, model, run.store)
                row = {"subject": name, "budget": limit, "method": method, "purify": chain, "attack": attack}
                row |= {"seed": seed, "fidelity": how, "untouched": untouched[attack]}
                rows.append(row | attacked(run, model, s, attack, seen, seed))
                print(f"{name} {limit} {method} {chain} {attack}: {rows[-1]['own']:.4f}", flush=True)
            report(run, rows)
    return rows


def rate(rows: list[dict], method: str, judged: str, **where: str) -> tuple[float, float, float, float]:
    """Mean loss, and the protection rate with its interval over subjects."""
    chosen = [r for r in rows if all(r[k] == v for k, v in where.items())]
    clean = {(r["subject"], r["purify"], r["attack"], r["seed"]): r for r in chosen if r["method"] == CLEAN}
    mine = [r for r in chosen if r["method"] == method]
    pairs: dict[str, list[tuple[float, float]]] = {}
    for r in mine:
        base = clean[r["subject"], r["purify"], r["attack"], r["seed"]][judged]
        pairs.setdefault(r["subject"], []).append((r[judged] - base, r["untouched"][judged] - base))
    sums = np.array([np.sum(each, 0) for each in pairs.values()])
    drawn = np.random.default_rng(0).integers(len(sums), size=(2000, len(sums)))
    means = sums[drawn].sum(1)
    low, high = np.quantile(means[:, 0] / means[:, 1], [0.025, 0.975])
    total = sums.sum(0)
    return float(np.mean([r[judged] for r in mine])), float(total[0] / total[1]), float(low), float(high)


def table(run: argparse.Namespace, rows: list[dict], judged: str) -> str:
    lines = []
    done = set.intersection(*({r["method"] for r in rows if r["subject"] == s} for s in {r["subject"] for r in rows}))
    for limit in run.budgets:
        for attack in run.attacks:
            head = ["method", *run.purify, "all", "PSNR", "perceptual", "SSIM", "s a picture"]
            lines += [f"\n{limit}, {attack}, loss on {judged} pictures (protection rate, 95 % interval)\n"]
            lines += ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
            for method in [m for m in run.methods if m in done]:
                mine = [r for r in rows if (r["method"], r["budget"], r["attack"]) == (method, limit, attack)]
                if not mine:
                    continue
                texts = []
                for where in [*({"purify": chain} for chain in run.purify), {}]:
                    loss, value, low, high = rate(rows, method, judged, budget=limit, attack=attack, **where)
                    texts.append(
                        f"{loss:.3f}" + (f" ({value:.0%}, {low:.0%} to {high:.0%})" if method != CLEAN else "")
                    )
                told = [[r["fidelity"][k] for r in mine] for k in ("psnr", "perceptual", "ssim", "seconds")]
                texts += ["" if method == CLEAN else f"{np.mean(values):.3g}" for values in told]
                lines.append("| " + " | ".join([method, *texts]) + " |")
    return "\n".join(lines)


def report(run: argparse.Namespace, rows: list[dict]) -> None:
    facts = {k: v for k, v in vars(run).items() if k not in ("store", "out", "results", "data", "threads")}
    facts["machine"] = f"{platform.machine()}, {torch.get_num_threads()} threads"
    run.results.parent.mkdir(parents=True, exist_ok=True)
    run.results.write_text(json.dumps({"settings": facts, "rows": rows}, indent=1) + "\n")


def listed(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/eval"))
    parser.add_argument("--subjects", type=listed, default=["cat", "dog", "duck_toy", "backpack"])
    parser.add_argument("--methods", type=listed, default=["clean", "random", "advdm", "ldu", "ldu-fast"])
    parser.add_argument("--attacks", type=listed, default=["dreambooth"])
    parser.add_argument("--purify", type=listed, default=["none", "jpeg:75", "resize:0.5"])
    parser.add_argument("--budgets", type=listed, default=["psnr:36.1"])
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in listed(text)], default=[0])
    parser.add_argument("--photos", type=int, default=4, help="of each subject, that are protected and learned")
    parser.add_argument("--steps", type=int, default=50, help="of ascent")
    parser.add_argument("--preset", default="auto", help="of the attackers")
    parser.add_argument("--attack-steps", type=int, default=0, help="0: the preset's")
    parser.add_argument("--draws", type=int, default=16, help="of noise and time, in a loss")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("out/ldu"), help="where cells are stored")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "ldu.json")
    run = parser.parse_args()
    if CLEAN not in run.methods:
        parser.error("the methods must contain clean, which rates are measured from")
    torch.set_num_threads(run.threads)
    run.store = Store(run.out)
    rows = cells(run, load_model(run.model))
    for judged in ("own", "unseen"):
        print(table(run, rows, judged))
    print(f"\nmodel {run.model}, {len(run.subjects)} subjects, seeds {run.seeds}, {run.steps} ascent steps, ", end="")
    print(f"attack steps {run.attack_steps or 'as preset'}; {platform.machine()}, {run.threads} threads")


if __name__ == "__main__":
    main()
