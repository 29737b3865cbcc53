"""A small encoder of two branches, as the teacher of Stable Diffusion 1's stand-in has them (MODEL_CARD.md).

A student with its teacher's layout agrees with it where ascent has moved a picture, too; one of another layout agrees
on photographs only (docs/how-to/encoders.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

SCALE = 8  # px of a latent's side
FINE = ((3, 16, 2), (16, 32, 3), (32, 32, 2), (32, 64, 3), (64, 64, 2))  # channels in and out, side of the kernel
COARSE = ((3, 64, 3), (64, 64, 3), (64, 64, 3), (64, 128, 3))


class TwoBranchEncoder(nn.Module):
    """Pictures ``[b 3 h w]`` in [-1, 1] to latents ``[b channels h/8 w/8]``; sides must be multiples of 8.

    The fine branch halves the picture three times by strided convolutions, the coarse one sees means of 8 x 8 px; the
    latents are the sum of both.
    """

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        self.fine = nn.Sequential(*layers(FINE), conv(64, channels, 3))
        self.coarse = nn.Sequential(*layers(COARSE), conv(128, channels, 3))

    def forward(self, x: Tensor) -> Tensor:
        latents: Tensor = self.fine(x) + self.coarse(F.avg_pool2d(x, SCALE))
        return latents


def layers(shapes: Sequence[tuple[int, int, int]]) -> Iterator[nn.Module]:
    for inputs, outputs, side in shapes:
        yield conv(inputs, outputs, side)
        yield nn.LeakyReLU(0.01)


def conv(inputs: int, outputs: int, side: int) -> nn.Conv2d:
    """A 3x3 convolution with padding, or a 2x2 one of stride 2."""
    return nn.Conv2d(inputs, outputs, 2, 2) if side == 2 else nn.Conv2d(inputs, outputs, side, padding=1)
