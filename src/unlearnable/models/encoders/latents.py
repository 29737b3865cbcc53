"""Latents as a family's denoiser gets them: each diffusers class of autoencoder scales, shifts and packs differently.

All functions take the autoencoder and pictures ``[b 3 h w]`` in [0, 1], and return ``[b c h' w']`` in float32 with
about unit standard deviation. They take the posterior's mode, so that nothing is random.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Latents = Callable[[Any, Tensor], Tensor]


def scaled(vae: Any, x: Tensor) -> Tensor:
    """`AutoencoderKL` (SD 1, SDXL, SD3, FLUX.1): one shift and scale, or one for each channel (some SDXL)."""
    z, config = vae.encode(2 * x - 1).latent_dist.mode(), vae.config
    if config.get("latents_mean") and config.get("latents_std"):
        latents: Tensor = z - per_channel(config.latents_mean, z)
        latents = latents * config.scaling_factor / per_channel(config.latents_std, z)
    else:
        latents = (z - (config.get("shift_factor") or 0.0)) * config.scaling_factor
    return latents


def patched(vae: Any, x: Tensor) -> Tensor:
    """`AutoencoderKLFlux2`: 2 x 2 latents become channels of one, which a batch norm's statistics standardise."""
    z = F.pixel_unshuffle(vae.encode(2 * x - 1).latent_dist.mode(), 2)
    variance = vae.bn.running_var + vae.config.batch_norm_eps
    return (z - per_channel(vae.bn.running_mean, z)) / per_channel(variance, z).sqrt()


def framed(vae: Any, x: Tensor) -> Tensor:
    """`AutoencoderKLQwenImage`, `AutoencoderKLWan`: a picture is a one-frame video; channels are standardised."""
    z = vae.encode((2 * x - 1).unsqueeze(2)).latent_dist.mode().squeeze(2)
    latents: Tensor = (z - per_channel(vae.config.latents_mean, z)) / per_channel(vae.config.latents_std, z)
    return latents


def deep(vae: Any, x: Tensor) -> Tensor:
    """`AutoencoderDC` (Sana): no posterior, one scale."""
    latents: Tensor = vae.encode(2 * x - 1).latent * vae.config.scaling_factor
    return latents


def tiny(vae: Any, x: Tensor) -> Tensor:
    """`AutoencoderTiny`: its output approximates the large autoencoder's scaled latents."""
    latents: Tensor = vae.encode(2 * x - 1).latents * (vae.config.get("scaling_factor") or 1.0)
    return latents


def per_channel(values: Any, z: Tensor) -> Tensor:
    return torch.as_tensor(values, device=z.device, dtype=z.dtype).view(1, -1, 1, 1)


# Each class's function, and the parts of an autoencoder that an encoder does not use.
CLASSES: dict[str, Latents] = {
    "AutoencoderKL": scaled,
    "AutoencoderKLFlux2": patched,
    "AutoencoderKLQwenImage": framed,
    "AutoencoderKLWan": framed,
    "AutoencoderDC": deep,
    "AutoencoderTiny": tiny,
}
UNUSED = ("decoder", "post_quant_conv")
