"""Structural similarity: the two factors of SSIM, from which SSIM and MS-SSIM are made (Wang et al. 2004, 2003)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW, SIGMA = 11, 1.5  # the paper's Gaussian window
C1, C2 = 0.01**2, 0.03**2  # for samples in [0, 1]


def similarity(images: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM and its contrast-structure factor of pictures ``[n 3 h w]`` in [0, 1], ``[n]`` each.

    Means over channels and over the windows that lie inside the picture. Channel by channel, to halve the memory.
    """
    rows = [_channel(images[:, i : i + 1], references[:, i : i + 1]) for i in range(images.shape[1])]
    ssim, structure = torch.stack([torch.stack(row) for row in rows]).mean(0)
    return ssim, structure


def _channel(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    x, y = x - 0.5, y - 0.5  # variances do not mind the shift, and lose fewer digits
    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    structure = (2 * (blur(x * y) - mean_x * mean_y) + C2) / (var_x + var_y + C2)
    mean_x, mean_y = mean_x + 0.5, mean_y + 0.5
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    return (luminance * structure).flatten(1).mean(1), structure.flatten(1).mean(1)


def blur(x: Tensor, window: int = WINDOW, sigma: float = SIGMA) -> Tensor:
    """Gaussian mean of ``[n 1 h w]`` over the windows that lie inside it."""
    offsets = torch.arange(window, dtype=x.dtype, device=x.device) - (window - 1) / 2
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    weights = weights / weights.sum()
    return F.conv2d(F.conv2d(x, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
