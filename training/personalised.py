"""Can an attacker personalise the model: DreamBooth (U-Net and a new token) on half of a subject's photographs.

For each subject: the held-out loss on the other half, relative to the untouched model; and the similarity (embedded
features) of 16 generated pictures to the subject and to five others. Beside them, as the floor, what the untouched
model draws from the same noise, and, as the best this network can see, the photographs the attacker trained on.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from data import DEFAULT_DATA
from sheets import grid
from unlearnable import load_model, registry
from unlearnable.images.files import read
from unlearnable.images.square import square
from unlearnable.metrics.subject import rank
from unlearnable.models.base import Model
from unlearnable.models.features import FeatureNetwork
from unlearnable.models.training import fixed_losses
from unlearnable.personalization.concept import generate
from unlearnable.rng import plain

EVAL = DEFAULT_DATA.parent / "eval"
GENERATED, WRONG, MOST_STEPS = 16, 5, 400
SHEETS = ("backpack", "dog2", "red_cartoon", "styles/vangogh")


def photographs(folder: Path, side: int) -> Tensor:
    """All pictures of a folder as [n 3 side side] in [0, 1]."""
    pictures = []
    for file in sorted(folder.iterdir()):
        pixels = torch.from_numpy(read(file).pixels).permute(2, 0, 1)[None].float() / 255
        pictures.append(square(pixels, side))
    return torch.cat(pictures)


def prompt_of(name: str) -> str:
    """`dog2` -> `a photo of sks dog`; a style's pictures are paintings."""
    if name.startswith("styles/"):
        return "a sks painting"
    return f"a photo of sks {name.rsplit('_', 1)[-1].rstrip('0123456789')}"


def others(names: list[str], name: str, seed: int) -> list[str]:
    """Five other subjects, drawn by the seed and the subject's name."""
    return sorted(plain("others", seed, name).sample([other for other in names if other != name], WRONG))


def one(model: Model, network: FeatureNetwork, sets: dict[str, Tensor], name: str, names: list[str], seed: int):
    """The row of one subject, and pictures for its sheet."""
    attacker = registry.thing("dreambooth", "attacker").PRESETS["embedded"]
    attacker = replace(attacker, steps=min(attacker.steps, MOST_STEPS))
    photos, prompt = sets[name].to(model.device), prompt_of(name)
    train, held = photos[0::2], photos[1::2]
    bare = prompt.replace("sks ", "")
    began = time.monotonic()
    concept = attacker.fit(model, train, prompt, seed=seed)
    seconds = time.monotonic() - began
    before, after = (fixed_losses(m, held, p).mean().item() for m, p in ((model, bare), (concept.model, prompt)))
    fit_before, fit_after = (
        fixed_losses(m, train, p).mean().item() for m, p in ((model, bare), (concept.model, prompt))
    )
    made = concept.generate([prompt] * GENERATED, seed=seed)
    untouched = generate(model, [bare] * GENERATED, seed=seed)
    row = {"train": len(train), "held": len(held), "steps": attacker.steps, "seconds": round(seconds, 1)}
    row |= {"loss untouched": before, "loss learned": after, "own loss untouched": fit_before, "own loss": fit_after}
    with torch.no_grad():
        references = {other: network.embed(sets[other][1::2]) for other in names}
        six = {other: references[other] for other in [name, *others(names, name, seed)]}
        for key, pictures in (("learned", made), ("untouched", untouched), ("photographs", train.cpu())):
            order = rank(network.embed(pictures), six)
            row[f"{key}: similarity"] = dict(order)[name]
            row[f"{key}: next best"] = max(value for other, value in order if other != name)
            row[f"{key}: place"] = [other for other, _ in order].index(name) + 1
            row[f"{key}: place among all"] = [o for o, _ in rank(network.embed(pictures), references)].index(name) + 1
    return row, (train.cpu(), held.cpu(), made[:8], untouched[:4])


def subject_figures(
    folder: Path, where: Path, seed: int, device: str, rows: dict, sheets: Path | None, keep: Callable[[dict], None]
) -> dict:
    """A row for each subject and style, and how many were learned; rows of the same weights in `rows` are kept."""
    weights = (folder / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    made_with = hashlib.sha256(weights).hexdigest()[:12]
    rows = dict(rows) if rows.get("model") == made_with else {"model": made_with}
    model, network = load_model(str(folder), device=device), FeatureNetwork.from_folder()
    objects = sorted(p.name for p in (where / "objects").iterdir())
    styles = sorted(f"styles/{p.name}" for p in (where / "styles").iterdir())
    sets = {n: photographs(where / (n if "/" in n else f"objects/{n}"), model.size) for n in [*objects, *styles]}
    for name in sets:
        if name in rows:
            continue
        names = objects if name in objects else [*styles, *objects]
        rows[name], shown = one(model, network, sets, name, names, seed)
        keep(rows)
        print(name, {k: round(v, 3) for k, v in rows[name].items()}, flush=True)
        if sheets is not None and name in SHEETS:
            sheet(shown, sheets / f"subject-{name.rsplit('/', 1)[-1]}.png")
    return rows | summary([rows[n] for n in objects], [rows[n] for n in styles])


def summary(objects: list[dict], styles: list[dict]) -> dict[str, float]:
    """Means, and how many subjects are learned: ranked first among six."""
    both, figures = [*objects, *styles], {"objects": len(objects), "styles": len(styles)}
    for kind, rows in (("objects", objects), ("styles", styles)):
        for key in ("learned", "untouched", "photographs"):
            figures[f"{kind}, {key}: first of 6"] = sum(row[f"{key}: place"] == 1 for row in rows)
            figures[f"{kind}, {key}: first of all"] = sum(row[f"{key}: place among all"] == 1 for row in rows)
    figures["held-out loss fell for"] = sum(row["loss learned"] < row["loss untouched"] for row in both)
    means = {
        "held-out loss, learned / untouched": [row["loss learned"] / row["loss untouched"] for row in both],
        "loss on its own pictures, learned / untouched": [row["own loss"] / row["own loss untouched"] for row in both],
        "similarity to the subject": [row["learned: similarity"] for row in both],
        "similarity to the nearest of five others": [row["learned: next best"] for row in both],
        "similarity to the subject, untouched model": [row["untouched: similarity"] for row in both],
        "seconds to learn": [row["seconds"] for row in both],
    }
    return figures | {f"{name}, mean": sum(values) / len(values) for name, values in means.items()}


def sheet(shown: tuple[Tensor, ...], file: Path) -> None:
    """Training photographs, held-out ones, what was generated, and what the untouched model draws."""
    from PIL import Image

    titles = ("trained on", "held out", "generated", "untouched model")
    pictures, names = [], []
    for title, part in zip(titles, shown):
        for picture in part:
            pictures.append(Image.fromarray((picture.permute(1, 2, 0) * 255).round().byte().numpy()))
            names.append(title)
    grid(pictures, 8, names).save(file)
