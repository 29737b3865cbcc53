"""A pixel model whose denoiser is exact: data of independent Gaussian samples, so that diffusion has closed forms."""

from types import SimpleNamespace

import torch
from torch import nn

from tiny import adapt, build

MEAN, SPREAD = 0.1, 0.3  # of the data, in the model's range of -1 to 1


class Exact(nn.Module):
    """``E[eps | z_t]`` for ``z ~ N(MEAN, SPREAD^2)``: ``s (z_t - a MEAN) / (a^2 SPREAD^2 + s^2)``."""

    def __init__(self, schedule):
        super().__init__()
        self.schedule, self.weight = schedule, nn.Parameter(torch.zeros(1))

    def forward(self, z_t, t):
        a, s = (table[t].view(-1, 1, 1, 1) for table in (self.schedule.signal, self.schedule.noise))
        return SimpleNamespace(sample=s * (z_t - a * MEAN) / (a**2 * SPREAD**2 + s**2))


def exact_model():
    model = adapt(build("ddpm"), "exact")
    model.denoiser = Exact(model.schedule)
    return model
