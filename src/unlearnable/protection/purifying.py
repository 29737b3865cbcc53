"""An objective against diffusion purifiers, which noise a picture a little and denoise it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnable.models.base import Model
from unlearnable.protection.objectives import Batch

PATCH = 8


@dataclass(frozen=True)
class Unpurified:
    """``L(x) - frequency |H(z_hat) - H(z)|^2 - wrong |eps_hat(z_t, t) - eps_hat(z_t, t')|^2``: AntiPure's guidances.

    z_hat is the denoiser's one-step answer, H the higher half of each 8 x 8 patch's DCT: changes in it survive. t'
    is as far from the end of the schedule as t is from its start: the purifier answers as at a wrong time.
    """

    frequency: float = 1.0
    wrong: float = 1.0

    def __call__(self, model: Model, x: Tensor, batch: Batch) -> Tensor:
        z, t = model.encode(x), batch.t
        z_t = model.noised(z, batch.noise, t)
        out = model.predict(z_t, t, batch.condition)
        clean, eps = model.schedule.split(z_t, t, out)
        wrong_time = len(model.schedule) - 1 - t
        astray = model.schedule.split(z_t, wrong_time, model.predict(z_t, wrong_time, batch.condition))[1]
        loss = (out - model.target(z, batch.noise, t)).square().flatten(1).mean(1)
        drift = (high(clean) - high(z)).square().flatten(1).mean(1)
        return loss - self.frequency * drift - self.wrong * (eps - astray).square().flatten(1).mean(1)


def high(z: Tensor) -> Tensor:
    """Coefficients ``[b c n 64]`` of the orthonormal DCT of 8 x 8 patches, those of low frequency set to zero."""
    h, w = z.shape[-2:]
    padded = F.pad(z, (0, -w % PATCH, 0, -h % PATCH), mode="replicate")
    patches = padded.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH)
    k = torch.arange(PATCH, dtype=z.dtype, device=z.device)
    basis = (math.pi / PATCH * (k + 0.5)[None] * k[:, None]).cos() * math.sqrt(2 / PATCH)
    basis[0] /= math.sqrt(2)
    coefficients = basis @ patches @ basis.T
    return (coefficients * (k[:, None] + k[None] >= PATCH)).flatten(2, 3).flatten(3)
