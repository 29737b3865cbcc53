"""A subject for audits: views of one picture, their protected twins, a small model and a small feature network."""

from pathlib import Path

import torch
from PIL import Image

from tiny import adapt, build, pictures
from unlearnable import Recipe, protect
from unlearnable.auditing.settings import Settings
from unlearnable.images import sheet
from unlearnable.metrics.features import own_network
from unlearnable.models.features import FeatureNetwork

PROMPT = "a photo of sks disc"
QUICK = Settings(
    prompt=PROMPT, steps=3, generated=2, sampling=2, draws=2, purify=("none", "jpeg:75", "diffpure:0.1:2"), model="tiny"
)
NAMES = ("0.png", "1.png", "deep/2.png", "deep/3.png", "4.png", "5.png")


def save(folder: Path, names=NAMES, side: int = 64, shift: int = 0) -> Path:
    """Views of one picture, shifted by some pixels each."""
    x = pictures(1, seed=11, side=side + 16)[0]
    for i, name in enumerate(names, shift):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        view = x[:, i : i + side, 16 - i : 16 - i + side]
        Image.fromarray(sheet.levels(view).pixels).save(path)
    return folder


def guarded(clean: Path, out: Path, model, steps: int = 2, eps: float = 8) -> Path:
    """The protected twins, with the journal that `protect` writes."""
    recipe = Recipe(method="advdm", strength="paper", eps=eps, steps=steps, prompt="a disc", model="tiny")
    assert all(r.status == "protected" for r in protect([clean], out, recipe, model=model, recursive=True))
    return out


def unfitted():
    """Random weights: enough to see how an audit works, and nothing about what it finds."""
    return adapt(build("sd1"), "tiny")


def network() -> FeatureNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return FeatureNetwork(["a", "b"], (8, 8, 16, 16)).eval().requires_grad_(False)


def features():
    return own_network(network())
