"""The teachers of the embedded encoders, in plain torch: they are read while training and measuring, and never shipped.

TAEF2 (MIT, madebyollin/taesd) is a tiny autoencoder of FLUX.2's latents; the light encoder of Stable Diffusion 1's
latents (Apache-2.0, Graphnull/VAElight) has 0.2 M parameters. Both take pictures in [0, 1] here.
"""

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

Encoder = Callable[[Tensor], Tensor]
CHANNELS = {"flux2": 32, "sd1": 4}


class Block(nn.Module):
    """Three convolutions with a residual path; with `pool` the whole picture's statistics are added first."""

    def __init__(self, pool: bool = False) -> None:
        super().__init__()
        self.conv = nn.Sequential(conv(64, 64), nn.ReLU(), conv(64, 64), nn.ReLU(), conv(64, 64))
        self.pool = None
        if pool:
            layers = (
                nn.Conv2d(64, 256, 1, bias=False),
                nn.GroupNorm(4, 256),
                nn.ReLU(),
                nn.Conv2d(256, 64, 1, bias=False),
            )
            self.pool = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return F.relu(self.conv(x) + x)


class Clamp(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


def conv(inputs: int, outputs: int, **options: Any) -> nn.Conv2d:
    """A 3x3 convolution with padding 1."""
    return nn.Conv2d(inputs, outputs, 3, padding=1, **options)


def taef2_encoder(weights: Path) -> nn.Module:
    """Pictures ``[b 3 h w]`` in [0, 1] to latents ``[b 32 h/8 w/8]``, as FLUX.2's autoencoder has them."""
    down = [[conv(64, 64, stride=2, bias=False), *(Block(pool) for _ in range(3))] for pool in (False, False, True)]
    return frozen(nn.Sequential(conv(3, 64), Block(), *chain(*down), conv(64, 32)), weights)


def taef2_decoder(weights: Path) -> nn.Module:
    """Latents ``[b 32 h w]`` to pictures ``[b 3 8h 8w]``, not clamped."""
    up = [
        [*(Block(pool) for _ in range(3)), nn.Upsample(scale_factor=2), conv(64, 64, bias=False)]
        for pool in (True, False, False)
    ]
    return frozen(nn.Sequential(Clamp(), conv(32, 64), nn.ReLU(), *chain(*up), Block(), conv(64, 3)), weights)


class LightEncoder(nn.Module):
    """A fine branch of strided convolutions and a coarse one on means of 8 x 8 px, added."""

    def __init__(self) -> None:
        super().__init__()
        shapes = {"cv1": (3, 16, 2), "cv2": (16, 32, 3), "cv3": (32, 32, 2), "cv4": (32, 64, 3), "cv5": (64, 64, 2)}
        shapes |= {"cv6": (64, 4, 3), "cv14": (3, 64, 3), "cv15": (64, 64, 3), "cv16": (64, 64, 3)}
        for name, (inputs, outputs, size) in (shapes | {"cv17": (64, 128, 3), "cv18": (128, 4, 3)}).items():
            self.add_module(name, nn.Conv2d(inputs, outputs, 2, 2) if size == 2 else conv(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        x = 2 * x - 1
        return self._branch(x, 1, 6) + self._branch(F.avg_pool2d(x, 8), 14, 18)

    def _branch(self, x: Tensor, first: int, last: int) -> Tensor:
        for number in range(first, last):
            x = F.leaky_relu(self.get_submodule(f"cv{number}")(x), 0.01)
        out: Tensor = self.get_submodule(f"cv{last}")(x)
        return out


def light_encoder(weights: Path) -> nn.Module:
    """Pictures ``[b 3 h w]`` in [0, 1] to latents ``[b 4 h/8 w/8]`` at Stable Diffusion 1's raw scale."""
    return frozen(LightEncoder(), weights)


def frozen(network: nn.Module, weights: Path) -> nn.Module:
    network.load_state_dict({name: value.float() for name, value in load_file(weights).items()})
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


class Normalised(nn.Module):
    """A teacher whose latents have mean 0 and variance 1 in each channel, over the training pictures."""

    def __init__(self, network: nn.Module, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean.view(1, -1, 1, 1))
        self.register_buffer("std", std.view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (self.network(x) - self.mean) / self.std


@torch.no_grad()
def normalised(network: nn.Module, batches: list[Tensor]) -> Normalised:
    """`network` with each channel's mean and standard deviation over these pictures taken out."""
    z = torch.cat([network(x).transpose(0, 1).flatten(1) for x in batches], 1)
    return Normalised(network, z.mean(1), z.std(1))


def teacher(name: str, folder: Path) -> nn.Module:
    """The encoder that teaches `flux2` or `sd1`; `folder` holds its weights."""
    if name == "flux2":
        return taef2_encoder(folder / "taef2_encoder_fp16.safetensors")
    return light_encoder(folder / "sd1_light_encoder.safetensors")
