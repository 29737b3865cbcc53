"""Data sets of the UDP study, and the classifier in whose features its figures are taken."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from unlearnable.images.square import square
from unlearnable.rng import generator, seeded

SHARED = Path(__file__).parents[2] / "shared" / "data"
HELD_OUT = 5  # every fifth picture is never trained on


def load(name: str, side: int, most: int) -> tuple[Tensor, Tensor]:
    """Pictures ``[n 3 s s]`` on the 8-bit grid, in a fixed random order, and their labels ``[n]``; at most `most`."""
    if name == "digits":
        from sklearn.datasets import load_digits

        found = load_digits()
        x = torch.from_numpy(found.images / 16).float()[:, None].expand(-1, 3, -1, -1)
        labels = torch.from_numpy(found.target)
    elif name in ("objects", "styles"):
        from unlearnable.images import files
        from unlearnable.images.tensors import tensor

        folders = sorted(p for p in (SHARED / "eval" / name).iterdir() if p.is_dir())
        sources = [(source, i) for i, folder in enumerate(folders) for source, _ in files.sources([folder], True)]
        x = torch.cat([square(tensor(files.read(source).pixels)[None] / 255, side) for source, _ in sources])
        labels = torch.tensor([i for _, i in sources])
    else:
        x, labels = parquet(SHARED / "train" / f"{name}.parquet", side, most)
    order = torch.randperm(len(x), generator=generator("udp study", name))[:most]
    return (x[order] * 255).round() / 255, labels[order].long()


def parquet(path: Path, side: int, most: int) -> tuple[Tensor, Tensor]:
    import pyarrow.parquet as pq
    from PIL import Image

    table = pq.read_table(path, columns=["image", "label"])
    rows = torch.randperm(len(table), generator=generator("udp rows"))[:most].tolist()
    found = []
    for i in rows:
        cell = table["image"][i].as_py()
        picture = Image.open(io.BytesIO(cell["bytes"] if isinstance(cell, dict) else cell)).convert("RGB")
        x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
        found.append(square(x, side))
    names = [str(table["label"][i].as_py()) for i in rows]
    known = sorted(set(names))
    return torch.cat(found), torch.tensor([known.index(name) for name in names])


def split(x: Tensor) -> tuple[Tensor, Tensor]:
    """What is trained on, and what is held out."""
    held = torch.arange(len(x)) % HELD_OUT == 0
    return x[~held], x[held]


class Classifier(nn.Module):
    """Three convolutions and two layers; `features` are the 64 numbers ahead of the last."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 32, 3, 1, 1), nn.ReLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(),
            nn.Conv2d(64, 64, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(256, 64),
        )  # fmt: skip
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(2 * x - 1).relu())

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        return torch.cat([self.body(2 * part - 1).relu() for part in x.split(256)])


def classifier(x: Tensor, labels: Tensor, steps: int) -> tuple[Classifier, float]:
    """Trained on the clean training pictures with their labels; its accuracy on the held-out ones comes with it."""
    (seen, held), (truth, hidden) = split(x), split(labels)
    with seeded("udp classifier"):
        network = Classifier(int(labels.max()) + 1)
        optimiser = torch.optim.AdamW(network.parameters(), 2e-3)
        for _ in range(steps):
            rows = torch.randint(len(seen), (64,))
            loss = nn.functional.cross_entropy(network(seen[rows]), truth[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    network.eval().requires_grad_(False)
    return network, float((network(held).argmax(1) == hidden).float().mean())
