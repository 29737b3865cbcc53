"""`embedded-features`: the small feature network that ships, for offline similarity, FID and a perceptual distance.

A residual network (He et al., arXiv 1512.03385) with group normalisation, trained by `training/features.py` on the
labels of the embedded model's pictures. It is weaker than Inception, CLIP or DINO, and its figures cannot be compared
with theirs; the name of every figure that comes from it says so.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearnable.storage.atomic import replacing, write_text

NAME = "embedded-features"
FOLDER = Path(__file__).parent / "embedded" / "features"
SIDE = 64  # px at which pictures are embedded and classified
AREA = 2**20  # pixels above which pictures are scaled down before their maps are compared


class Block(nn.Module):
    """Two 3 x 3 convolutions with a shortcut."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, stride, 1, bias=False)
        self.norm1 = nn.GroupNorm(8, out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norm2 = nn.GroupNorm(8, out)
        self.shortcut = nn.Conv2d(into, out, 1, stride, bias=False) if (into, stride) != (out, 1) else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(inner + self.shortcut(x))


class FeatureNetwork(nn.Module):
    """Pictures ``[n 3 h w]`` in [0, 1] to logits over `labels`, to an embedding, or to intermediate maps."""

    centre: Tensor
    spread: Tensor

    def __init__(self, labels: list[str], widths: tuple[int, ...] = (32, 64, 128, 256)) -> None:
        super().__init__()
        self.labels, self.widths = labels, widths
        self.stem = nn.Conv2d(3, widths[0], 3, 2, 1, bias=False)
        self.stem_norm = nn.GroupNorm(8, widths[0])
        strides = (1, *[2] * (len(widths) - 1))
        inputs = (widths[0], *widths[:-1])
        self.stages = nn.ModuleList(Block(*row) for row in zip(inputs, widths, strides))
        self.head = nn.Linear(widths[-1], len(labels))
        self.register_buffer("centre", torch.zeros(widths[-1]))
        self.register_buffer("spread", torch.ones(widths[-1]))

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return len(self.centre)

    def maps(self, images: Tensor) -> list[Tensor]:
        """Features at 1/2, 1/4, 1/8 and 1/16 of the pictures' own size, ``[n c h' w']`` each."""
        x = F.relu(self.stem_norm(self.stem(4 * images - 2)))
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``[n, labels]`` of pictures scaled to 64 px."""
        logits: Tensor = self.head(self.pooled(images))
        return logits

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings ``[n, dim]``: the features before the logits, standardised on the training pictures."""
        return (self.pooled(images) - self.centre) / self.spread

    def pooled(self, images: Tensor) -> Tensor:
        return self.maps(fitted(images))[-1].mean((2, 3))

    @classmethod
    def from_folder(cls, folder: Path = FOLDER) -> FeatureNetwork:
        """The network saved in `folder`, in float32, frozen."""
        from safetensors.torch import load_file

        config = json.loads((folder / "config.json").read_text())
        network = cls(config["labels"], tuple(config["widths"]))
        network.load_state_dict(load_file(folder / "model.safetensors"))
        return network.float().eval().requires_grad_(False)

    def save(self, folder: Path) -> None:
        """Write fp16 safetensors and a config.json."""
        from safetensors.torch import save_file

        with replacing(folder / "model.safetensors") as temporary:
            save_file({k: v.half().contiguous() for k, v in self.state_dict().items()}, temporary)
        config = {"labels": self.labels, "name": NAME, "widths": self.widths}
        write_text(folder / "config.json", json.dumps(config, indent=1) + "\n")


def fitted(images: Tensor) -> Tensor:
    """Pictures scaled to 64 x 64 px, with anti-aliasing."""
    if images.shape[-2:] == (SIDE, SIDE):
        return images
    return F.interpolate(images, size=(SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)


class Maps(Protocol):
    """A network that returns its intermediate feature maps."""

    def maps(self, images: Tensor) -> list[Tensor]: ...


def distance(images: Tensor, others: Tensor, network: Maps) -> Tensor:
    """Perceptual distance of pictures ``[b 3 h w]`` in [0, 1], ``[b]``; 0 for equal ones, differentiable.

    Zhang et al., arXiv 1801.03924, equation 1 with unit weights: squared distance of the maps, their channels
    normalised to length 1, averaged over positions and summed over layers.
    """
    total = torch.zeros(len(images), device=images.device)
    for one, other in zip(network.maps(shrunk(images)), network.maps(shrunk(others))):
        squared = (F.normalize(one, dim=1) - F.normalize(other, dim=1)).square().sum(1)
        total = total + squared.flatten(1).mean(1).to(total.device)
    return total


def shrunk(images: Tensor) -> Tensor:
    """Pictures scaled down to at most `AREA` pixels, with anti-aliasing."""
    h, w = images.shape[-2:]
    if h * w <= AREA:
        return images
    scale = (AREA / (h * w)) ** 0.5
    size = [max(1, round(h * scale)), max(1, round(w * scale))]
    return F.interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)
