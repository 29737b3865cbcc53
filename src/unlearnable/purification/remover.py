"""A network that has seen a protection on other pictures, and takes it off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearnable.errors import UnlearnableError, UsageError, shown
from unlearnable.models.base import Condition
from unlearnable.models.finetune import checkpoint
from unlearnable.models.finetune.checkpoint import Checkpoint, Progress, carry_on, named
from unlearnable.models.finetune.training import FineTune, OwnBatches, Text
from unlearnable.purification.base import between
from unlearnable.purification.views import Tiling, by_views
from unlearnable.rng import image_keys, plain, seeded

KIND, MULTIPLE = "remover", 4
WIDTH, BATCH, RATE, CROP = 32, 8, 1e-3, 64


class Network(nn.Module):
    """The perturbations of pictures ``[b 3 h w]`` in [0, 1], sides multiples of 4: a small U-Net, at first zero."""

    def __init__(self, width: int = WIDTH, seed: int = 0) -> None:
        from diffusers import UNet2DModel

        super().__init__()
        self.width = width
        with seeded(seed, "remover"):
            self.network = UNet2DModel(
                in_channels=3, out_channels=3, block_out_channels=(width, width, 2 * width), layers_per_block=1,
                norm_num_groups=8, add_attention=False, down_block_types=("DownBlock2D",) * 3,
                up_block_types=("UpBlock2D",) * 3,
            )  # fmt: skip
        nn.init.zeros_(self.network.conv_out.weight)
        nn.init.zeros_(self.network.conv_out.bias)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.network(2 * x - 1, torch.zeros((), device=x.device)).sample
        return change


@dataclass(frozen=True)
class Remover:
    """Remover: a small U-Net trained on (protected, clean) pairs of other pictures; strength 0 is the identity.

    The attacker who has the protection's program protects pictures of his own and learns to undo it. `file` is what
    `unlearnable train-remover` wrote. It works at the picture's own scale.
    """

    strength: float = 1.0
    file: str = ""

    def __post_init__(self) -> None:
        between("strength", self.strength, 0, 1)

    def __call__(self, images: Tensor, *, seed: int = 0) -> Tensor:
        if not self.strength:
            return images
        network = loaded(self.file)

        def work(x: Tensor, names: Sequence[str]) -> Tensor:
            return x - self.strength * network(x)

        return by_views(images.device, Tiling(512, MULTIPLE, 128), images, image_keys(images), work)


@cache
def loaded(file: str) -> Network:
    """The network of a file; UsageError where it is none."""
    if not file:
        raise UsageError("remover needs a network: train one by `unlearnable train-remover`, and give file=FILE")
    if not Path(file).is_file():
        raise UsageError(f"{shown(file)} is not there: train a remover by `unlearnable train-remover`")
    weights, facts = checkpoint.read(Path(file))
    if facts.get("kind") != KIND:
        raise UsageError(f"{shown(file)} holds no remover: train one by `unlearnable train-remover`")
    network = Network(facts["width"])
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    return network.eval().requires_grad_(False)


def train(
    pairs: Sequence[tuple[Tensor, Tensor]], steps: int = 2000, seed: int = 0, width: int = WIDTH,
    progress: Progress | None = None, state: Path | None = None,
) -> Network:  # fmt: skip
    """A network that has learnt from (clean, protected) pictures ``[3 h w]`` in [0, 1] what was added.

    AdamW on the squared error of random crops, the rate falling to zero by a cosine; `progress` is called with
    (steps done, steps in all, loss). With a file `state`, the same call goes on where it was interrupted, with the same
    bits. Raises UsageError for pairs that are none and for another run's state, UnlearnableError when it diverges.
    """
    for clean, protected in pairs:
        if clean.shape != protected.shape:
            sizes = " and ".join(f"{x.shape[-1]} x {x.shape[-2]} px" for x in (clean, protected))
            raise UsageError(f"a picture and its protected twin are of {sizes}: give pairs of one size")
    if not pairs:
        raise UsageError("no pairs to learn from: give pictures and their protected twins, named alike")
    network = Network(width, seed).train()
    trainer = RemoverTrainer(network, pairs, steps, seed)
    run = named(KIND, width, steps, seed, [[image_keys(x[None]) for x in pair] for pair in pairs])

    def learn(after: Any, left: int) -> object:
        return trainer.run(torch.empty(0), Condition(), left, after=after)

    carry_on(trainer, Checkpoint(state, run) if state else None, learn, progress)
    return network.eval().requires_grad_(False)


class RemoverTrainer(OwnBatches):
    """Trains `network` on (clean, protected) pairs."""

    def __init__(self, network: Any, pairs: Sequence[tuple[Tensor, Tensor]], steps: int, seed: int) -> None:
        super().__init__(network, FineTune(steps, RATE), seed, [{"params": list(network.parameters())}])
        self.network, self.pairs = network, pairs

    def _loss(self, name: str, z: Tensor, keys: list[str], c: Text) -> Tensor:
        clean, protected = batch(self.pairs, self.done, self.seed)
        return F.mse_loss(self.network(protected), protected - clean)

    def _step(self, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise UnlearnableError(f"training diverged at step {self.done}: try another seed")
        for group in self.optimiser.param_groups:
            group["lr"] = RATE / 2 * (1 + math.cos(math.pi * self.done / self.settings.steps))
        super()._step(loss)


def batch(pairs: Sequence[tuple[Tensor, Tensor]], step: int, seed: int) -> tuple[Tensor, Tensor]:
    """Clean and protected crops of `CROP` px, ``[8 3 64 64]`` twice, half of them mirrored; small pictures repeat."""
    draw, rows = plain("remover", seed, step), []
    for _ in range(BATCH):
        both = torch.stack(draw.choice(pairs))
        h, w = both.shape[-2:]
        both = F.pad(both, (0, max(0, CROP - w), 0, max(0, CROP - h)), mode="replicate")
        top, left = draw.randint(0, max(0, h - CROP)), draw.randint(0, max(0, w - CROP))
        cut = both[..., top : top + CROP, left : left + CROP]
        rows.append(cut.flip(-1) if draw.random() < 0.5 else cut)
    clean, protected = torch.stack(rows).unbind(1)
    return clean, protected


def save(network: Network, path: Path, **facts: Any) -> None:
    """One safetensors file, in half precision."""
    weights = {name: p.detach().half() for name, p in network.state_dict().items()}
    checkpoint.write(path, weights, facts | {"kind": KIND, "width": network.width})
