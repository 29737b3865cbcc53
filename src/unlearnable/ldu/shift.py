"""Shifts of a trajectory's start: one for each picture, or one network for all (rho)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearnable.ldu.shortcut import fingerprint, read
from unlearnable.models.base import Model
from unlearnable.models.finetune import checkpoint
from unlearnable.rng import seeded

KIND, COMMAND = "rho", "unlearnable train-ldu"


class Free(nn.Module):
    """A shift for each picture: where it starts, plus what it has learnt in units of `length` (``[b 1 1 1]``)."""

    def __init__(self, start: Tensor, length: Tensor) -> None:
        super().__init__()
        self.start, self.length = start, length
        self.value = nn.Parameter(torch.zeros_like(start))

    def forward(self, z: Tensor) -> Tensor:
        return self.start + self.length * self.value


class Rho(nn.Module):
    """``z_T -> shift``: a small U-Net of `width` channels, whose last layer starts at zero: nothing is shifted yet."""

    def __init__(self, channels: int, width: int = 32, seed: int = 0) -> None:
        from diffusers import UNet2DModel

        super().__init__()
        self.width, self.channels = width, channels
        with seeded(seed, "rho"):
            self.network = UNet2DModel(
                in_channels=channels, out_channels=channels, block_out_channels=(width, 2 * width),
                layers_per_block=2, norm_num_groups=8, add_attention=False,
                down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
            )  # fmt: skip
        nn.init.zeros_(self.network.conv_out.weight)
        nn.init.zeros_(self.network.conv_out.bias)

    def forward(self, z: Tensor) -> Tensor:
        """Shifts of latents ``[b c h w]`` of any size."""
        h, w = z.shape[-2:]
        padded = F.pad(z, (0, w % 2, 0, h % 2), mode="replicate")
        return self.network(padded, torch.zeros((), device=z.device)).sample[..., :h, :w]

    def save(self, path: Path, model: Model, **facts: Any) -> None:
        """Write one safetensors file that names the model it belongs to, in half precision."""
        facts |= {"kind": KIND, "base": fingerprint(model), "model": model.name, "width": self.width}
        facts["channels"] = self.channels
        checkpoint.write(path, {name: p.detach().half() for name, p in self.state_dict().items()}, facts)

    @classmethod
    def load(cls, path: Path, model: Model) -> tuple[Rho, dict[str, Any]]:
        """A saved network, frozen, and how it was trained; raises UsageError for one of another model."""
        weights, facts = read(path, KIND, model, COMMAND)
        rho = cls(facts["channels"], facts["width"])
        rho.load_state_dict(weights)
        return rho.to(model.device).eval().requires_grad_(False), facts
