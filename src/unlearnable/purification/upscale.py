"""Noisy upscaling: drown the perturbation in noise, then let a generative upscaler paint over it (arXiv 2406.12027)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from unlearnable.purification.base import Diffusing, between
from unlearnable.purification.diffpure import check, descent, diffuse
from unlearnable.purification.simple import Noise, scale
from unlearnable.purification.views import Tiling, by_views
from unlearnable.rng import generator, image_keys

LEVEL = 320  # what the authors' released script tells the upscaler about the noise, of its 350


@dataclass(frozen=True)
class Upscale(Diffusing):
    """Noisy upscaling: Gaussian noise, then an upscaler or the loaded model's own img2img on the enlarged picture.

    Hönig et al. (arXiv 2406.12027, Sect. 4.3) add noise of `sigma` 0.1 (25.5 of 255) and enlarge by Stable Diffusion's
    x4 upscaler, told a noise level of 320. Name that pipeline, by folder or hub id, as `upscaler`; it works on the
    picture's own scale in tiles of 512 px. Without one the picture is enlarged by `factor`, noised to t* = `strength`
    and denoised by the loaded model (DiffPure's move, deterministic as img2img is). Both are scaled down to the
    picture's size again. Deviation: no captions and no guidance.
    """

    sigma: float = 25.5
    strength: float = 0.2
    factor: int = 2
    steps: int = 20
    upscaler: str = ""

    def __post_init__(self) -> None:
        check(self.strength, self.steps, 0)
        between("factor of enlargement", self.factor, 1, 8)
        Noise(self.sigma)

    @property
    def needs_model(self) -> bool:
        return not self.upscaler

    def __call__(self, images: Tensor, *, seed: int = 0) -> Tensor:
        keys, size = image_keys(images), list(images.shape[-2:])
        noisy = Noise(self.sigma)(images, seed=seed)
        if self.upscaler:
            return enlarge(load_upscaler(self.upscaler), noisy, self.steps, keys, seed)
        model = self.ready()
        large = scale(noisy, [side * self.factor for side in size])
        times = descent(model, self.strength, self.steps)
        return scale(diffuse(model, large, times, 0, keys, seed, "upscale"), size)


def enlarge(pipe: Any, images: Tensor, steps: int, keys: Sequence[str], seed: int) -> Tensor:
    """Through a diffusers `StableDiffusionUpscalePipeline` and back to size."""
    level = min(LEVEL, pipe.config.max_noise_level)

    def work(x: Tensor, names: Sequence[str]) -> Tensor:
        large = pipe(
            prompt=[""] * len(x), image=x, num_inference_steps=steps, guidance_scale=1.0, noise_level=level,
            generator=[generator(name, seed, "upscaler") for name in names], output_type="pt",
        ).images  # fmt: skip
        return scale(large.float(), list(x.shape[-2:]))

    multiple = 2 ** len(pipe.unet.config.block_out_channels)
    return by_views(pipe.device, Tiling(512, multiple, 128), images, keys, work)


@cache
def load_upscaler(name: str) -> Any:
    """The pipeline of a folder or hub id, kept; SetupError where it cannot be had."""
    from diffusers import StableDiffusionUpscalePipeline

    from unlearnable.models.load import guarded, resolve_device
    from unlearnable.models.offline import offline
    from unlearnable.models.quiet import quiet

    device = resolve_device("auto")
    local = offline()
    with quiet(), guarded(name, local):
        half = torch.float16 if device.type == "cuda" else torch.float32
        pipe: Any = StableDiffusionUpscalePipeline.from_pretrained(
            name, dtype=half, use_safetensors=True, local_files_only=local
        )
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)
