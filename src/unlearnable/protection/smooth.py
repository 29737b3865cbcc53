"""Perturbations blurred region by region, so that their spectrum is the picture's and purifiers find nothing to remove.

After BlurGuard (Kim et al., NeurIPS 2025, arXiv 2511.00143). Each region's blur is the one of `SIGMAS` that makes white
noise most like the picture there, in the shares of power that four octave bands hold.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

SIGMAS = (0.0, 0.5, 0.75, 1.0, 1.5, 2.0)  # px
REGION = 16  # px
BANDS = (0.7, 1.4, 2.8)  # sigmas between bands, fine to coarse


def gaussian(x: Tensor, sigma: float) -> Tensor:
    """Blur, cut at 4 sigma, edges repeated; 0 is the identity."""
    if not sigma:
        return x
    from kornia.filters import gaussian_blur2d

    side = 2 * int(4 * sigma + 0.5) + 1
    padded = F.pad(x, (side // 2,) * 4, mode="replicate")
    blurred: Tensor = gaussian_blur2d(padded, (side, side), (sigma, sigma), border_type="constant")
    return blurred[..., side // 2 : -(side // 2), side // 2 : -(side // 2)]


def bands(x: Tensor) -> Tensor:
    """Power of pictures ``[b 3 h w]`` in octave bands, ``[4 b 1 h w]``, fine to coarse; the mean is in none."""
    levels = [x, *(gaussian(x, sigma) for sigma in BANDS)]
    last = (
        levels[-1]
        - F.avg_pool2d(levels[-1], REGION, ceil_mode=True)
        .repeat_interleave(REGION, -2)
        .repeat_interleave(REGION, -1)[..., : x.shape[-2], : x.shape[-1]]
    )
    parts = [a - b for a, b in pairwise(levels)] + [last]
    return torch.stack([part.square().mean(1, keepdim=True) for part in parts])


@cache
def noise_shares() -> Tensor:
    """Shares of power of white noise after a blur by each of `SIGMAS`, ``[sigmas 4]``, measured on one large draw."""
    noise = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    power = torch.stack([bands(gaussian(noise, sigma)).flatten(1).mean(1) for sigma in SIGMAS])
    return power / power.sum(1, keepdim=True)


def chosen(x: Tensor) -> Tensor:
    """The one of `SIGMAS` that each region of pictures takes, ``[sigmas b 1 h w]`` of 0 and 1."""
    h, w = x.shape[-2:]
    power = torch.stack([F.avg_pool2d(band, REGION, ceil_mode=True) for band in bands(x)]) + 1e-9
    share = power / power.sum(0, keepdim=True)
    noise = noise_shares().to(x).view(len(SIGMAS), 4, 1, 1, 1, 1)
    divergence = (share * (share.log() - (noise + 1e-9).log())).sum(1)
    best = divergence.argmin(0).repeat_interleave(REGION, -2).repeat_interleave(REGION, -1)[..., :h, :w]
    return torch.stack([(best == i).to(x) for i in range(len(SIGMAS))])


def smoothed(delta: Tensor, masks: Tensor) -> Tensor:
    """Perturbations ``[b 3 h w]``, each region blurred by its own sigma (`chosen`); differentiable."""
    return torch.stack([gaussian(delta, sigma) * mask for sigma, mask in zip(SIGMAS, masks) if mask.any()]).sum(0)
