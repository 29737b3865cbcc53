"""The models whose steps are timed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from unlearnable.models.base import Condition, Model, prepare
from unlearnable.models.latent import StableDiffusion
from unlearnable.models.load import load_model, resolve_device, resolve_dtype
from unlearnable.models.quiet import quiet
from unlearnable.rng import normal


@dataclass(frozen=True)
class Subject:
    """A model, the side of its pictures in pixels, and how many pictures make a batch."""

    model: Model
    side: int
    batch: int


class Untaught(StableDiffusion):
    """Stable Diffusion 1.5 without its text encoder, which no step asks: the text is noise of the right shape."""

    def condition(self, prompts: Sequence[str]) -> Condition:
        return Condition({"text": normal(list(prompts), (77, 768), "text", device=self.device)})


def named(name: str, device: str, dtype: str, side: int | None, batch: int | None) -> Subject:
    """The embedded model, or any other by folder or id, at its own size."""
    model = load_model(name, device=device, dtype=dtype)
    return Subject(model, side or model.size, batch or 8)


def sd15(device: str, dtype: str, side: int | None, batch: int | None) -> Subject:
    """Random weights of Stable Diffusion 1.5's size (860 M in the U-Net, 84 M in the autoencoder)."""
    place = resolve_device(device)
    amp = resolve_dtype(dtype, place)
    weights = amp if amp and place.type != "cpu" else torch.float32  # as `load_model` keeps them
    with quiet():
        model = Untaught(untaught_pipeline().to(place, weights), "SD 1.5-sized, random weights", amp)
    for network in model.modules():
        prepare(network, checkpointing=False)
    return Subject(model, side or 256, batch or (8 if place.type == "cuda" else 2))


def untaught_pipeline() -> Any:
    import diffusers

    torch.manual_seed(0)
    wide = (128, 256, 512, 512)
    vae = diffusers.AutoencoderKL(
        block_out_channels=wide, layers_per_block=2, latent_channels=4, sample_size=512,
        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
    )  # fmt: skip
    unet = diffusers.UNet2DConditionModel(
        sample_size=64, cross_attention_dim=768, attention_head_dim=8, block_out_channels=(320, 640, 1280, 1280)
    )
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    scheduler = diffusers.DDIMScheduler(**betas, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    absent: dict[str, Any] = dict.fromkeys(("text_encoder", "tokenizer", "safety_checker", "feature_extractor"))
    return diffusers.StableDiffusionPipeline(
        vae=vae, unet=unet, scheduler=scheduler, requires_safety_checker=False, **absent
    )
