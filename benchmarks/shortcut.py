"""Few-step samples of the embedded model: its shortcut against plain DDIM, by FID and by eye.

    python training/unpack.py out/held-out --part held-out
    python benchmarks/shortcut.py out/held-out

Captions of held-out pictures, the same noise for every row, no guidance (a shortcut has none). FID is over the embedded
features, to the held-out pictures that the captions were not taken from: compare rows of this table with one another
only. *Distance* is the root mean square distance of latents to those of 50 DDIM steps, whose spread is 1.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import torch
from torch import Tensor

from unlearnable import load_model
from unlearnable.images import sheet
from unlearnable.ldu.phi import Phi, load_phi
from unlearnable.ldu.pictures import load
from unlearnable.metrics.distribution import fid
from unlearnable.metrics.features import Features, features
from unlearnable.models.base import Model
from unlearnable.rng import normal

FEW, MANY, PART, SHOWN = (1, 2, 4, 8), 50, 32, 8


@torch.no_grad()
def samples(model: Model, phi: Phi, captions: list[str], k: int) -> tuple[Tensor, Tensor]:
    """Latents and pictures for captions, from noise that depends on a caption's place only."""
    shape, ends, made = model.latent_shape(model.size, model.size), [], []
    times = phi.times(k, 1.0) if k in FEW else [*model.schedule.spaced(k), -1]
    for i in range(0, len(captions), PART):
        some = captions[i : i + PART]
        z = normal([str(i + j) for j in range(len(some))], shape, "sample").to(model.device)
        ends.append(phi(z, model.condition(some), times))
        made.append(model.decode(ends[-1]).clamp(0, 1))
    return torch.cat(ends), torch.cat(made)


def rows(model: Model, captions: list[str], real: Tensor, network: Features, shortcut: str) -> tuple[list[dict], list]:
    """A row for each way of sampling, and the first pictures of each."""
    wanted, embedded, found, shown = None, network(real), [], []
    plain = load_phi("ddim", model)
    ways = [(plain, MANY), *[(phi, k) for phi in (load_phi(shortcut, model), plain) for k in FEW]]
    for phi, k in ways:
        started = time.monotonic()
        ends, made = samples(model, phi, captions, k)
        wanted = ends if wanted is None else wanted
        row = {"phi": phi.kind, "k": k, "fid": float(fid(network(made), embedded))}
        row["distance"] = float((ends - wanted).square().mean().sqrt() / wanted.std())
        found.append(row | {"seconds": round(time.monotonic() - started, 1)})
        shown.append(made[:SHOWN])
        print(row, flush=True)
    return found, shown


def table(found: list[dict], floor: float) -> str:
    lines = ["| sampled by | k | FID | distance |", "|---|---|---|---|"]
    lines += [f"| {r['phi']} | {r['k']} | {r['fid']:.2f} | {r['distance']:.3f} |" for r in found]
    return "\n".join([*lines, f"| real pictures | | {floor:.2f} | |"])


def main() -> None:
    results = Path(__file__).parent / "results"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="pictures with captions that the model was not trained on")
    parser.add_argument("--count", type=int, default=256, help="pictures to sample, and real ones to compare with")
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--phi", default="auto", help="auto: the shortcut that ships")
    parser.add_argument("--json", type=Path, default=results / "shortcut.json")
    parser.add_argument("--sheet", type=Path, default=Path("out/shortcut.png"))
    options = parser.parse_args()
    model, network = load_model(options.model), features()
    pictures = load([options.folder], model.size, "a photo", recursive=True)
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))
    asked, others = order[: options.count], order[options.count : 2 * options.count]
    captions = [pictures.captions[i] for i in asked]
    real = pictures.images(others, torch.device("cpu"))
    floor = float(fid(network(pictures.images(asked, torch.device("cpu"))), network(real)))
    found, shown = rows(model, captions, real, network, options.phi)
    print(f"\n{table(found, floor)}\n\n{len(asked)} samples, {len(others)} real pictures ", end="")
    print(f"({platform.machine()}, {torch.get_num_threads()} threads)")
    options.sheet.parent.mkdir(parents=True, exist_ok=True)
    sheet.write(shown, options.sheet)
    facts = {"samples": len(asked), "real": len(others), "floor": floor, "machine": platform.machine(), "rows": found}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
