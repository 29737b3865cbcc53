"""An editor: changes pictures by a prompt, wholly (img2img) or under a mask (inpainting), and trains nothing.

SDEdit (Meng et al., arXiv 2108.01073): the picture is noised to a share of the schedule and denoised under the prompt,
by the stock diffusers pipeline that people edit with. Inpainting is the same with the picture put back outside the
mask at each step, for models that are not made for it.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unlearnable.errors import UsageError
from unlearnable.images.square import square
from unlearnable.models.base import Model
from unlearnable.models.quiet import quiet
from unlearnable.personalization.concept import TOGETHER
from unlearnable.rng import generator, image_keys


@dataclass(frozen=True, kw_only=True)
class Editor:
    """`strength` is the share of the noise from which the edit starts, in that share of `steps`; 1 ignores the picture.

    `guidance` is the weight of the prompt.
    """

    strength: float = 0.6
    steps: int = 50
    guidance: float = 7.5

    def __post_init__(self) -> None:
        if not 0 < self.strength <= 1:
            raise UsageError(f"strength {self.strength:g} is no share of the noise: give more than 0 and at most 1")
        if int(self.steps * self.strength) < 1:
            raise UsageError(f"{self.steps} steps at strength {self.strength:g} are none at all: give more of either")

    def check(self, model: Model) -> None:
        """Raise UsageError for a model that nobody edits with."""
        if model.family == "ddpm":
            raise UsageError(f"{model.name!r} reads no prompt, so nothing edits with it: use a latent model")

    @torch.no_grad()
    def __call__(
        self, model: Model, images: Tensor, prompt: str, *, seed: int = 0, keys: Sequence[str] | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Edited pictures ``[n 3 s s]`` in [0, 1], on the CPU, of pictures ``[n 3 h w]``; s is the model's size.

        (seed, key) seeds the noise (`keys` default to the content): under the same names, a picture and its protected
        twin are edited with the same noise. `mask` ``[n 1 h w]`` is 1 where an inpainter paints.
        """
        from diffusers import AutoPipelineForImage2Image, AutoPipelineForInpainting

        self.check(model)
        kind: Any = AutoPipelineForImage2Image if mask is None else AutoPipelineForInpainting
        with quiet():
            pipe = kind.from_pipe(model.pipeline())
        pipe.set_progress_bar_config(disable=True)
        known, parts = inspect.signature(pipe.__call__).parameters, []
        options = {"strength": self.strength, "num_inference_steps": self.steps, "output_type": "pt"}
        x, names = square(images.float(), model.size), image_keys(images) if keys is None else keys
        for i in range(0, len(x), TOGETHER):
            part, which = x[i : i + TOGETHER], names[i : i + TOGETHER]
            rng = [generator(seed, "edit", name) for name in which]
            given = {k: v for k, v in model.call([prompt] * len(part), self.guidance, model.size).items() if k in known}
            given |= {} if mask is None else {"mask_image": square(mask.float(), model.size)[i : i + TOGETHER]}
            with model.autocast(), quiet():
                made = pipe(image=part, generator=rng, **given, **options).images
            parts.append(torch.as_tensor(made).float().cpu())
        return torch.cat(parts)
