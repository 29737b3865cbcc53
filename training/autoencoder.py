"""Join the trained encoder and decoder into a stock AutoencoderKL: 8 x smaller, 32 channels of unit variance."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file

from encoder import WIDTHS
from teachers import CHANNELS

LOG_VARIANCE = -12.0  # the encoder was taught the mean alone: its posterior is a point, but for this


def untrained(widths: tuple[int, ...] = WIDTHS["flux2"], channels: int = CHANNELS["flux2"]) -> AutoencoderKL:
    """The autoencoder's shape, without attention (it has to work on 512 px pictures as well)."""
    levels = len(widths)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=8,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=1.0,
        sample_size=128,
    )


def joined(encoder: Path, decoder: Path) -> AutoencoderKL:
    """The autoencoder of the averaged weights that `encoder.py` and `decoder.py` wrote."""
    vae = untrained()
    vae.encoder.load_state_dict({k: v.float() for k, v in load_file(encoder).items() if k not in ("mean", "std")})
    vae.decoder.load_state_dict({k: v.float() for k, v in load_file(decoder).items()})
    with torch.no_grad():
        count = vae.config.latent_channels
        vae.encoder.conv_out.weight[count:].zero_()
        vae.encoder.conv_out.bias[count:].fill_(LOG_VARIANCE)
    return vae.eval()
