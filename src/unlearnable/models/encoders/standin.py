"""Stand-ins that ship: small encoders that learned to imitate a family's own (MODEL_CARD.md)."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from unlearnable.models.load import EMBEDDED_FOLDER

FOLDER = EMBEDDED_FOLDER / "encoders"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.safetensors")))


@cache
def load(name: str) -> Any:
    """The network in float32; its weights determine its shape."""
    from diffusers.models.autoencoders.vae import Encoder
    from safetensors.torch import load_file

    tensors = {key: value.float() for key, value in load_file(FOLDER / f"{name}.safetensors").items()}
    widths = [len(tensors[f"down_blocks.{i}.resnets.0.conv1.bias"]) for i in range(4)]
    channels = len(tensors["conv_out.bias"]) // 2
    network = Encoder(
        3, channels, ("DownEncoderBlock2D",) * 4, widths, 1, norm_num_groups=8, mid_block_add_attention=False
    )
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def latents(network: Any, x: Tensor) -> Tensor:
    """Latents ``[b c h/8 w/8]`` with unit standard deviation in each channel."""
    mean: Tensor = network(2 * x - 1).chunk(2, 1)[0]
    return mean
