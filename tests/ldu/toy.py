"""Models small enough to calculate by hand: a linear velocity, and an MLP on points of the plane."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unlearnable.models.base import Condition, Model
from unlearnable.models.schedule import Schedule


def flow_schedule(count: int) -> Schedule:
    sigma = torch.arange(1, count + 1, dtype=torch.float64) / count
    return Schedule("flow", 1 - sigma, sigma, sigma * count)


class LinearFlow(Model):
    """``dz/dsigma = M z``: latents are vectors ``[b n]``, and everything has a closed form."""

    family, size, multiple = "toy", 1, 1

    def __init__(self, matrix: Tensor, count: int = 1024) -> None:
        network = nn.Linear(*matrix.shape, bias=False).double()
        network.weight.data = matrix.double()
        super().__init__(None, "linear flow", network, flow_schedule(count), None)

    def encode(self, x: Tensor) -> Tensor:
        return x

    def decode(self, z: Tensor) -> Tensor:
        return z

    def condition(self, prompts) -> Condition:
        return Condition()

    def predict(self, z_t: Tensor, t: Tensor, c: Condition) -> Tensor:
        return self.denoiser(z_t)

    def modules(self) -> list[nn.Module]:
        return [self.denoiser]

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        raise NotImplementedError
