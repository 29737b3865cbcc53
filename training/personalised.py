"""Can an attacker personalise the model: DreamBooth (U-Net and a new token) on half of a subject's photographs.

For each subject: the held-out loss on the other half, relative to the untouched model; and the similarity (embedded
features) of 16 generated pictures to the subject and to five others. Beside them, as the floor, what the untouched
model draws from the same noise, and, as the best this network can see, the photographs the attacker trained on.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from common import write_atomically
from data import DEFAULT_DATA
from sheets import grid
from unlearnable import load_model, registry
from unlearnable.images.files import read
from unlearnable.images.square import square
from unlearnable.metrics.subject import rank
from unlearnable.models.base import Model
from unlearnable.models.features import FeatureNetwork
from unlearnable.models.finetune.training import fixed_losses
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


def learn(model: Model, photos: Tensor, prompt: str, seed: int) -> tuple[dict, Tensor, Tensor]:
    """Losses before and after learning every second photograph; pictures drawn after and before."""
    attacker = registry.load("dreambooth", "attacker").PRESETS["embedded"]
    attacker = replace(attacker, steps=min(attacker.steps, MOST_STEPS))
    train, held = photos[0::2], photos[1::2]
    bare = prompt.replace("sks ", "")
    began = time.monotonic()
    concept = attacker.fit(model, train, prompt, seed=seed)
    seconds = time.monotonic() - began
    row = {"train": len(train), "held": len(held), "steps": attacker.steps, "seconds": round(seconds, 1)}
    for part, pictures in (("loss", held), ("own loss", train)):
        row[f"{part} untouched"] = fixed_losses(model, pictures, bare).mean().item()
        row[f"{part} learned" if part == "loss" else part] = fixed_losses(concept.model, pictures, prompt).mean().item()
    made = concept.generate([prompt] * GENERATED, seed=seed)
    return row, made, generate(model, [bare] * GENERATED, seed=seed)


@torch.no_grad()
def judged(
    network: Any, sets: dict[str, Tensor], names: list[str], drawn: dict[str, Tensor], name: str, seed: int = 0
) -> dict:
    """Where the subject comes among six and among all of `names`, for each kind of picture in `drawn`."""
    six, row = [name, *others(names, name, seed)], {}
    references = {other: network.embed(sets[other][1::2]) for other in names}
    for kind, pictures in drawn.items():
        order = rank(network.embed(pictures), {other: references[other] for other in six})
        row[f"{kind}: similarity"] = dict(order)[name]
        row[f"{kind}: next best"] = max(value for other, value in order if other != name)
        row[f"{kind}: place"] = [other for other, _ in order].index(name) + 1
        row[f"{kind}: place among all"] = [o for o, _ in rank(network.embed(pictures), references)].index(name) + 1
    return row


def recalled(folder: Path, name: str) -> tuple[dict[str, str], Tensor, Tensor]:
    """What is kept of a subject: facts, and the pictures [16 3 h w] drawn after and before learning."""
    with safe_open(folder / f"{name.replace('/', '-')}.safetensors", "pt") as stored:
        made, untouched = (stored.get_tensor(kind).float() / 255 for kind in ("made", "untouched"))
        return stored.metadata(), made, untouched


def remembered(
    folder: Path, name: str, key: str, learn: Callable[[], tuple[dict, Tensor, Tensor]]
) -> tuple[dict, Tensor, Tensor]:
    """What `learn` returns, from the folder if it was kept under the same key: another judge needs no new attack."""
    file = folder / f"{name.replace('/', '-')}.safetensors"
    if file.exists():
        facts, made, untouched = recalled(folder, name)
        if facts["key"] == key:
            return json.loads(facts["row"]), made, untouched
    row, made, untouched = learn()
    tensors = {kind: (x * 255).round().byte().cpu() for kind, x in (("made", made), ("untouched", untouched))}
    write_atomically(tensors, file, {"key": key, "row": json.dumps(row)})
    return row, made, untouched


def subjects(where: Path) -> tuple[list[str], list[str]]:
    """Names of the objects and of the styles."""
    objects, styles = (sorted(p.name for p in (where / kind).iterdir()) for kind in ("objects", "styles"))
    return objects, [f"styles/{name}" for name in styles]


def subject_figures(folder: Path, where: Path, seed: int, device: str, drawn: Path, sheets: Path | None) -> dict:
    """A row for each subject and style, and how many were learned; what was drawn is kept in the folder `drawn`."""
    model, network = load_model(str(folder), device=device), FeatureNetwork.from_folder(folder / "features")
    preset = registry.load("dreambooth", "attacker").PRESETS["embedded"]
    key = hashlib.sha256(f"{model.fingerprint()} {preset} {seed}".encode()).hexdigest()
    objects, styles = subjects(where)
    sets = {n: photographs(where / (n if "/" in n else f"objects/{n}"), model.size) for n in [*objects, *styles]}
    rows = {}
    for name, photos in sets.items():
        do = partial(learn, model, photos.to(model.device), prompt_of(name), seed)
        rows[name], made, untouched = remembered(drawn, name, key, do)
        names = objects if name in objects else [*styles, *objects]
        pictures = {"learned": made, "untouched": untouched, "photographs": photos[0::2]}
        rows[name] |= judged(network, sets, names, pictures, name, seed)
        print(name, {k: round(v, 3) for k, v in rows[name].items()}, flush=True)
        if sheets is not None and name in SHEETS:
            shown = (photos[0::2], photos[1::2], made[:8], untouched[:4])
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
