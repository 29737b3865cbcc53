"""GrIDPure: many rounds of a little DiffPure on overlapping tiles (Zhao et al., arXiv 2312.00084)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from unlearnable.models.base import Model
from unlearnable.purification.base import Diffusing, between
from unlearnable.purification.diffpure import check, descent, diffuse
from unlearnable.purification.views import Tiling
from unlearnable.rng import image_keys


@dataclass(frozen=True)
class GridPure(Diffusing):
    """GrIDPure: rounds of DiffPure at a small t* on overlapping tiles, each blended with the picture before it.

    Zhao et al. (arXiv 2312.00084): ``x <- (1 - gamma) merge(DiffPure(tiles of x)) + gamma x``, tiles that overlap by
    half (256 px at a stride of 128 for their model of 256 px). The defaults are those of the authors' released command:
    t* = 10 of 1000, 20 rounds, gamma 0.1, ancestral. Deviations: tiles are evenly spread and joined with raised-cosine
    weights where they take the mean; their additional tile, pasted together from the picture's four corners, is left
    out; no rounding to 8 bits between the rounds. Their model works on pixels: with a latent model each round includes
    the autoencoder's loss. t* = 0 or no rounds is the identity.
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
        model, keys, x = self.ready(), image_keys(images), images
        times, tiling = descent(model, self.strength, self.steps), grid(model)
        for number in range(self.rounds):
            y = diffuse(model, x, tiling, times, self.eta, keys, seed, "gridpure", number)
            x = y + self.gamma * (x - y)
        return x


def grid(model: Model) -> Tiling:
    """Tiles of the model's size, half of it shared."""
    tile = -(-model.size // model.multiple) * model.multiple
    return Tiling(tile, model.multiple, tile // 2, model.device)
