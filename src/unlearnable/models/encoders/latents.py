"""Latents as a family's denoiser gets them: each diffusers class of autoencoder scales, shifts and packs differently.

Pictures are ``[b 3 h w]`` in [0, 1], latents ``[b c h' w']`` in float32 with about unit standard deviation. They are
the posterior's mode, so that nothing is random.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnable.models.base import weight_dtype

Latents = Callable[[Any, Tensor], Tensor]


@dataclass(frozen=True)
class Convention:
    """What lies between a class of autoencoder's output and latents: ``latents = (output - mean) * scale``.

    `statistics` gives mean and scale of an autoencoder. With `frames` a picture is a one-frame video; with `patch`
    above 1, as many rows and columns of outputs become channels of one.
    """

    statistics: Callable[[Any], tuple[Any, Any]]
    frames: bool = False
    patch: int = 1

    def latents(self, vae: Any, x: Tensor) -> Tensor:
        code = self.output(vae, x)
        z = F.pixel_unshuffle(self.still(code if isinstance(code, Tensor) else code.mode()).float(), self.patch)
        mean, scale = (per_channel(s, z) for s in self.statistics(vae))
        latents: Tensor = (z - mean) * scale
        return latents

    def pictures(self, vae: Any, z: Tensor) -> Tensor:
        """The inverse of `latents`, as far as the autoencoder has one; not clamped."""
        mean, scale = (per_channel(s, z) for s in self.statistics(vae))
        z = F.pixel_shuffle(z / scale + mean, self.patch).to(weight_dtype(vae))
        pixels: Tensor = self.still(vae.decode(z.unsqueeze(2) if self.frames else z).sample)
        return (pixels.float() + 1) / 2

    def posterior(self, vae: Any, x: Tensor) -> Tensor:
        """Mean and log-variance ``[b 2c h' w']`` of the output, unscaled; the output where there is no posterior."""
        code = self.output(vae, x)
        parts = [code] if isinstance(code, Tensor) else [code.mean, code.logvar]
        return torch.cat([self.still(part) for part in parts], 1).float()

    def output(self, vae: Any, x: Tensor) -> Any:
        x = (2 * x - 1).to(weight_dtype(vae))
        answer = vae.encode(x.unsqueeze(2) if self.frames else x)
        return answer.latent_dist if hasattr(answer, "latent_dist") else answer[0]

    def still(self, code: Tensor) -> Tensor:
        return code.squeeze(2) if self.frames else code


def shifted(vae: Any) -> tuple[Any, Any]:
    """One shift and scale (SD 1, SDXL, SD3, FLUX.1, Sana), or one for each channel (some SDXL)."""
    config = vae.config
    scale = config.get("scaling_factor") or 1.0
    if config.get("latents_mean") and config.get("latents_std"):
        return config.latents_mean, scale / torch.as_tensor(config.latents_std)
    return config.get("shift_factor") or 0.0, scale


def normalised(vae: Any) -> tuple[Any, Any]:
    """A batch norm's running statistics (FLUX.2)."""
    return vae.bn.running_mean, (vae.bn.running_var + vae.config.batch_norm_eps).rsqrt()


def standardised(vae: Any) -> tuple[Any, Any]:
    """Mean and standard deviation of each channel (Qwen-Image, Wan)."""
    return vae.config.latents_mean, 1 / torch.as_tensor(vae.config.latents_std)


def per_channel(values: Any, z: Tensor) -> Any:
    if isinstance(values, float | int):
        return values
    return torch.as_tensor(values, device=z.device, dtype=z.dtype).view(1, -1, 1, 1)


def reduction(config: Mapping[str, Any]) -> int:
    """The number of pixel rows per row of an autoencoder's output."""
    widths = config.get("block_out_channels") or config.get("encoder_block_out_channels") or config["dim_mult"]
    return int(2 ** (len(widths) - 1))


# Each class's convention, and the parts of an autoencoder that an encoder does not use.
CLASSES = {
    "AutoencoderKL": Convention(shifted),
    "AutoencoderKLFlux2": Convention(normalised, patch=2),
    "AutoencoderKLQwenImage": Convention(standardised, frames=True),
    "AutoencoderKLWan": Convention(standardised, frames=True),
    "AutoencoderDC": Convention(shifted),
    "AutoencoderTiny": Convention(shifted),
}
UNUSED = ("decoder", "post_quant_conv")
