"""GrIDPure: many rounds of a little DiffPure on overlapping tiles (Zhao et al., arXiv 2312.00084)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unlearnable.models.base import Model
from unlearnable.purification.base import Diffusing, between
from unlearnable.purification.diffpure import check, descent, there_and_back
from unlearnable.purification.views import Tiling, by_views, joined
from unlearnable.rng import image_keys


@dataclass(frozen=True)
class GridPure(Diffusing):
    """GrIDPure: rounds of DiffPure at a small t* on overlapping tiles, each blended with the picture before it.

    Zhao et al. (arXiv 2312.00084): ``x <- (1 - gamma) merge(DiffPure(tiles of x)) + gamma x``, tiles that overlap by
    half (256 px at a stride of 128 for their model of 256 px). The defaults are those of the authors' released command:
    t* = 10 of 1000, 20 rounds, gamma 0.1, ancestral. Deviations: tiles are evenly spread and joined with raised-cosine
    weights where they take the mean; their additional tile, pasted together from the picture's four corners, is left
    out; no rounding to 8 bits between the rounds; pictures above twice the model's size are purified in parts of that
    size. Their model works on pixels. With a latent model, tiles and rounds are those of the latents, encoded and
    decoded once: twenty times through an autoencoder would leave nothing of the picture. t* = 0 or no rounds is the
    identity.
    """

    strength: float = 0.01
    rounds: int = 20
    gamma: float = 0.1
    steps: int = 10
    eta: float = 1.0

    def __post_init__(self) -> None:
        check(self.strength, self.steps, self.eta)
        between("number of rounds", self.rounds, 0, 1000)
        between("gamma", self.gamma, 0, 1)

    def __call__(self, images: Tensor, *, seed: int = 0) -> Tensor:
        model = self.ready()
        times, tiles = descent(model, self.strength, self.steps), grid(model)
        if not times or not self.rounds:
            return images
        with torch.no_grad():
            c = model.condition([""])

        def rounds(x: Tensor, names: Sequence[str]) -> Tensor:
            z = model.encode(x)
            for number in range(self.rounds):

                def work(part: Tensor, parts: Sequence[str], number: int = number) -> Tensor:
                    return there_and_back(model, part, c, times, self.eta, parts, seed, "gridpure", number)

                y = joined(tiles, z, names, work)
                z = y + self.gamma * (z - y)
            return model.decode(z)

        parts = Tiling(2 * blocks(model) * model.multiple, model.multiple, model.size)
        return by_views(model.device, parts, images, image_keys(images), rounds)


def grid(model: Model) -> Tiling:
    """Tiles of the model's size, half of it shared, in units of its latents."""
    multiple = model.latent_shape(model.multiple, model.multiple)[1]
    tile = blocks(model) * multiple
    return Tiling(tile, multiple, tile // 2)


def blocks(model: Model) -> int:
    """The model's size over its multiple, rounded up."""
    return -(-model.size // model.multiple)
