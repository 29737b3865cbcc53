"""A study that takes seconds: two subjects of 16 px, an untrained pixel model, attackers of a few steps."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tiny import pictures
from unlearnable.bench.study import Attack, Study
from unlearnable.images import sheet
from unlearnable.images.square import square

SHORT = {"steps": 3, "batch": 2}


def data(folder: Path, names=("objects/ball", "objects/disc2"), views: int = 4, side: int = 24) -> Path:
    """Subjects: views of one picture each, shifted by some pixels."""
    for seed, name in enumerate(names):
        x = pictures(1, seed=seed, side=side + 8)[0]
        for i in range(views):
            path = folder / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(sheet.levels(x[:, i : i + side, 8 - i : 8 - i + side]).pixels).save(path)
    return folder


def study(folder: Path, **changes) -> Study:
    settings = {
        "subjects": ("objects/*",), "data": str(folder), "photos": 2, "models": ("pixel:16",), "methods": ("advdm",),
        "budgets": ("psnr:30",), "steps": 2, "purify": ("none", "jpeg:75"), "draws": 2, "generated": 1, "sampling": 2,
        "attackers": (Attack("scratch", "scratch", "embedded", SHORT),), "dtype": "float32", "device": "cpu",
    }  # fmt: skip
    return Study(**(settings | changes))


def pixels(path: Path, size: int) -> torch.Tensor:
    """A file at a model's size, on the 8-bit grid, as the benchmark reads it: ``[1 3 size size]``."""
    x = torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None].float() / 255
    return (square(x, size) * 255).round() / 255


TOML = """
data = {data!r}
subjects = ["objects/*"]
photos = 2
models = ["pixel:16"]
methods = ["advdm"]
budgets = ["psnr:30"]
steps = 2
purify = ["none", "jpeg:75"]
attackers = [{{ name = "scratch", preset = "embedded", steps = {steps}, batch = 2 }}]
draws = 2
generated = 1
sampling = 2
device = "cpu"
dtype = "float32"
"""


def told(rows: list[dict]) -> list[dict]:
    """Rows without what differs from run to run: how long it took."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


@dataclass(frozen=True)
class Trouble:
    """An order that goes wrong in some way, or does not."""

    how: str

    def __call__(self, given, checkpoint):
        match self.how:
            case "memory":
                raise torch.OutOfMemoryError("CUDA out of memory")
            case "bug":
                raise KeyError("a third party's")
            case "late":
                time.sleep(60)
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
        return {"how": self.how}, given["clean"].float() / 255
