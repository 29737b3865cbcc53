"""The adapter for each diffusers pipeline that we know."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from unlearnable.models.base import Model


# The pipelines we know, and the adapter for each. Nothing else is ever built from a model's own description.
ADAPTERS = {
    "StableDiffusionPipeline": ("latent", "StableDiffusion"),
    "StableDiffusionXLPipeline": ("latent", "StableDiffusionXL"),
    "StableDiffusion3Pipeline": ("flow", "StableDiffusion3"),
    "FluxPipeline": ("flow", "Flux"),
    "ChromaPipeline": ("flow", "Chroma"),
    "Flux2KleinPipeline": ("flow", "Flux2Klein"),
    "QwenImagePipeline": ("flow", "QwenImage"),
    "ZImagePipeline": ("single", "ZImage"),
    "Lumina2Pipeline": ("single", "Lumina2"),
    "SanaPipeline": ("cross", "Sana"),
    "PixArtSigmaPipeline": ("cross", "PixArtSigma"),
    "DDPMPipeline": ("pixel", "PixelDDPM"),
    "DDIMPipeline": ("pixel", "PixelDDPM"),
}

TRANSFORMERS = ("sd3", "flux", "chroma", "flux2", "qwen", "zimage", "lumina2", "sana", "pixart")  # their `family`


def adapt(pipe: Any, name: str, *, amp: torch.dtype | None = None, checkpointing: bool = False) -> Model:
    """The adapter for a diffusers pipeline that is already in memory."""
    from unlearnable.models.base import prepare

    module, cls = ADAPTERS[type(pipe).__name__]
    model: Model = getattr(importlib.import_module(f"unlearnable.models.{module}"), cls)(pipe, name, amp)
    for network in model.modules():
        prepare(network, checkpointing)
    return model
