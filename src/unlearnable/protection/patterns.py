"""Perturbations learned once over many pictures: one that all share, and one for each kind of picture.

Ahn et al., "Nearly Zero-Cost Protection Against Mimicry by Personalized Diffusion Models" (FastProtect), CVPR 2025,
arXiv 2412.11423, section 4: a mixture of perturbations, learned by the features of all of an encoder's layers. Theirs
are chosen by the picture's latent code; here by its thumbnail, so that no model is needed at use. A pattern repeats
over pictures that are larger than it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearnable import rng
from unlearnable.errors import UnlearnableError, UsageError, shown
from unlearnable.models.base import Condition, fingerprint
from unlearnable.models.encoders.load import Encoder
from unlearnable.models.finetune import checkpoint
from unlearnable.models.finetune.checkpoint import Checkpoint, Progress, carry_on, named
from unlearnable.models.finetune.training import FineTune, OwnBatches, Text
from unlearnable.models.load import EMBEDDED_FOLDER
from unlearnable.protection.transforms import identity, pick, platform

KIND, COMMAND = "patterns", "unlearnable train-fastprotect"
SHIPPED = EMBEDDED_FOLDER / "patterns" / "patterns.safetensors"
THUMBNAIL, SIZE, BATCH = 8, 256, 4  # px, px, pictures of a training step
STEP = 0.1  # of the budget, at first; it falls to zero
ROUNDS = 20  # of k-means
LAYERS = re.compile(r"(?:^|\.)down_blocks\.\d+$")
FLOOR = 1e-4  # of a layer's variance: below it the logarithm is flat


@dataclass(frozen=True)
class Patterns:
    """`shared` ``[3 s s]`` and `own` ``[k 3 s s]`` in shares of a budget, and `centres` ``[k 3 8 8]`` of thumbnails."""

    shared: Tensor
    own: Tensor
    centres: Tensor

    def of(self, x: Tensor) -> Tensor:
        """The pattern ``[b 3 h w]`` in [-1, 1] of each picture ``[b 3 h w]`` in [0, 1]."""
        chosen = nearest(thumbnails(x), self.centres.to(x))
        pattern = (self.shared + self.own).clamp(-1, 1).to(x)[chosen]
        times = [-(-side // pattern.shape[-1]) for side in x.shape[-2:]]
        return pattern.repeat(1, 1, *times)[..., : x.shape[-2], : x.shape[-1]]

    def save(self, path: Path, **facts: Any) -> None:
        """One safetensors file, in half precision."""
        kept = {"shared": self.shared.half(), "own": self.own.half(), "centres": self.centres.half()}
        checkpoint.write(path, kept, facts | {"kind": KIND})


@cache
def load(file: str = "") -> Patterns:
    """The patterns of a file, or those that ship; UsageError where it holds none."""
    path = Path(file) if file else SHIPPED
    check(path)
    tensors, facts = checkpoint.read(path)
    if facts.get("kind") != KIND:
        raise UsageError(f"{shown(path)} holds no patterns: make them by `{COMMAND}`")
    return Patterns(**{name: value.float() for name, value in tensors.items()})


def check(path: Path) -> None:
    """Raise UsageError where there is no file of patterns."""
    if not path.is_file():
        raise UsageError(f"{shown(path)} is not there: make patterns by `{COMMAND}`")


def thumbnails(x: Tensor) -> Tensor:
    """Means of 8 x 8 equal parts, ``[b 3 8 8]``."""
    return F.adaptive_avg_pool2d(x, THUMBNAIL)


def nearest(thumbs: Tensor, centres: Tensor) -> Tensor:
    """The number ``[b]`` of the centre nearest to each thumbnail."""
    return torch.cdist(thumbs.flatten(1), centres.flatten(1)).argmin(1)


def clusters(thumbs: Tensor, count: int, seed: int = 0) -> Tensor:
    """Centres ``[count 3 8 8]`` by k-means (Lloyd's algorithm) from thumbnails drawn at random."""
    order = torch.randperm(len(thumbs), generator=torch.Generator().manual_seed(seed))
    centres = thumbs[order[:count]]
    for _ in range(ROUNDS):
        chosen = nearest(thumbs, centres)
        centres = torch.stack([
            thumbs[chosen == i].mean(0) if (chosen == i).any() else centre for i, centre in enumerate(centres)
        ])  # fmt: skip
    return centres


def train(
    pictures: Sequence[Tensor], encoders: Sequence[Encoder], *, count: int = 4, steps: int = 400, eps: float = 8,
    size: int = SIZE, seed: int = 0, progress: Progress | None = None, state: Path | None = None,
) -> Patterns:  # fmt: skip
    """Patterns of `size` px that move what `encoders` see of pictures ``[3 h w]`` in [0, 1], by `eps`/255 at most.

    Sign ascent on the squared distance of the features of all layers, in units of each layer's variance, summed in
    logarithms; half of the steps see pictures resized and compressed. `progress` is told the steps that are done, their
    number and the mean logarithm. With a file `state`, the same call goes on where it was interrupted, with the same
    bits. Raises UsageError for too few pictures, and for the state of another run.
    """
    if len(pictures) < count:
        raise UsageError(f"{len(pictures)} pictures for {count} kinds: give at least as many pictures")
    thumbs = torch.cat([thumbnails(x[None]) for x in pictures])
    centres = clusters(thumbs, count, seed)
    kinds = nearest(thumbs, centres)
    noise = torch.rand((1 + count, 3, size, size), generator=rng.generator("patterns", seed)) * 2 - 1
    parts = [nn.Parameter(STEP * part) for part in (noise[0], noise[1:])]  # at zero the distance has no slope
    trainer = Ascent(encoders, parts, pictures, kinds, steps, eps, seed)
    asked = [fingerprint(encoder.name, encoder.network) for encoder in encoders]
    run = named(KIND, asked, count, steps, eps, size, seed, [rng.image_keys(x[None]) for x in pictures])

    def ascend(after: Any, left: int) -> object:
        return trainer.run(noise, Condition(), left, after=after)

    carry_on(trainer, Checkpoint(state, run) if state else None, ascend, progress)
    return Patterns(parts[0].detach(), parts[1].detach(), centres)


class Ascent(OwnBatches):
    """Sign ascent of `parts`, the shared pattern and those of the kinds, on the distance in the encoders' features."""

    def __init__(
        self, encoders: Any, parts: list[nn.Parameter], pictures: Sequence[Tensor], kinds: Tensor, steps: int,
        eps: float, seed: int,
    ) -> None:  # fmt: skip
        super().__init__(encoders, FineTune(steps, STEP), seed, [{"params": parts}])
        self.encoders, self.pictures, self.kinds, self.eps = encoders, pictures, kinds, eps

    def _loss(self, name: str, z: Tensor, keys: list[str], c: Text) -> Tensor:
        draw, (shared, own) = rng.plain("patterns", self.seed, self.done), self.parameters
        chosen = [draw.randrange(len(self.pictures)) for _ in range(BATCH)]
        x = torch.stack([square(self.pictures[i], shared.shape[-1], draw) for i in chosen])
        y = (x + (shared + own[self.kinds[chosen]]).clamp(-1, 1) * self.eps / 255).clamp(0, 1)
        seen, plain = (pick((identity, platform), z, rng.plain("transform", self.seed, self.done)) for z in (y, x))
        return torch.stack([distance(encoder, seen, plain) for encoder in self.encoders]).mean()

    def _step(self, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            raise UnlearnableError(f"the encoders' distance is not finite at step {self.done}: use other encoders")
        gradients = torch.autograd.grad(loss, self.parameters)
        pace, self.between_steps = STEP * (1 - self.done / self.settings.steps), False
        for part, g in zip(self.parameters, gradients):
            part.data = (part.data + pace * g.sign()).clamp(-1, 1)
        self.losses.append(loss.item())
        self.done += 1
        self.between_steps = True


def square(x: Tensor, size: int, draw: Any) -> Tensor:
    """A picture with its shorter side at `size` px, and of it a part of that size, ``[3 size size]``."""
    scale = size / min(x.shape[-2:])
    sides = [max(size, round(side * scale)) for side in x.shape[-2:]]
    scaled = F.interpolate(x[None], sides, mode="bilinear", antialias=True)[0]
    top, left = (draw.randint(0, side - size) for side in sides)
    return scaled[:, top : top + size, left : left + size]


def distance(encoder: Encoder, seen: Tensor, plain: Tensor) -> Tensor:
    """Mean over layers and pictures of the logarithm of the squared distance, in units of the layer's variance."""
    with torch.no_grad():
        wanted = features(encoder, plain)
    rows = [
        ((z - reference).square().mean() / reference.var().clamp_min(1e-12) + FLOOR).log()
        for z, reference in zip(features(encoder, seen), wanted)
    ]
    return torch.stack(rows).sum() / math.sqrt(len(rows))


def features(encoder: Encoder, x: Tensor) -> list[Tensor]:
    """What each block of an encoder puts out, and its latents."""
    with recorded(encoder.network) as outputs:
        return [encoder(x), *outputs]


@contextmanager
def recorded(network: nn.Module) -> Iterator[list[Tensor]]:
    """The outputs of the blocks that are passed meanwhile."""
    outputs: list[Tensor] = []
    blocks = [module for name, module in network.named_modules() if LAYERS.search(name)]
    hooks = [block.register_forward_hook(lambda _, __, out: outputs.append(out)) for block in blocks]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()
