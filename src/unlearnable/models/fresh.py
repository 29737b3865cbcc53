"""A pixel DDPM with random weights for training from scratch; its name is ``pixel:32`` wherever a model is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unlearnable.errors import UsageError

if TYPE_CHECKING:
    import torch

    from unlearnable.models.base import Model

PREFIX = "pixel:"
WIDTHS = {8: (32, 64), 16: (32, 64), 32: (32, 64, 64), 64: (32, 64, 96, 96)}  # for a laptop's CPU
TIMES = 1000


def pixel(
    side: int,
    widths: tuple[int, ...] = (),
    seed: int = 0,
    device: torch.device | None = None,
    amp: torch.dtype | None = None,
) -> Model:
    """An untrained small U-Net over `side` px with the linear schedule of DDPM (Ho et al., arXiv 2006.11239).

    `widths` are its channels by resolution, with attention at the last; the default is that of `WIDTHS` for the size.
    """
    import diffusers

    from unlearnable.models.adapters import adapt
    from unlearnable.rng import seeded

    widths = widths or WIDTHS[min((size for size in WIDTHS if size >= side), default=64)]
    if side < 8 or side % 2 ** (len(widths) - 1):
        raise UsageError(f"a pixel model of {side} px cannot be built: give a multiple of {2 ** (len(widths) - 1)}")
    plain = len(widths) - 1
    with seeded(seed, "scratch"):
        network = diffusers.UNet2DModel(
            sample_size=side, in_channels=3, out_channels=3, block_out_channels=widths, layers_per_block=1,
            down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",), norm_num_groups=8,
            up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * plain, attention_head_dim=8,
        )  # fmt: skip
    scheduler = diffusers.DDPMScheduler(num_train_timesteps=TIMES)
    pipe = diffusers.DDPMPipeline(unet=network.to(device), scheduler=scheduler)
    return adapt(pipe, f"{PREFIX}{side}", amp=amp)


def named(name: str, device: torch.device | None = None, amp: torch.dtype | None = None) -> Model:
    """The model for a name such as ``pixel:32``."""
    side = name.removeprefix(PREFIX)
    if not side.isdecimal():
        raise UsageError(f"{name!r} is no pixel model: write pixel: and its side in px, as in pixel:32")
    return pixel(int(side), device=device, amp=amp)
