"""A concept, which is what an attacker has learned: its model, and pictures from the stock diffusers pipeline."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unlearnable.models.base import Model
from unlearnable.models.quiet import quiet
from unlearnable.rng import generator
from unlearnable.storage.atomic import whole_files, write_text

if TYPE_CHECKING:
    from unlearnable.models.finetune.token import NewToken
    from unlearnable.personalization.base import Personalizer

TOGETHER = 4  # pictures generated at once


@dataclass
class Concept:
    """`model` has learned the pictures under `prompt`; `losses` are those of each training step."""

    model: Model
    prompt: str
    losses: list[float] = field(default_factory=list)
    settings: Personalizer | None = None
    token: NewToken | None = None

    def generate(
        self,
        prompts: Sequence[str],
        *,
        seed: int = 0,
        steps: int = 30,
        guidance: float = 4.0,
        side: int | None = None,
    ) -> Tensor:
        """One picture for each prompt, ``[n 3 h w]`` in [0, 1], on the CPU.

        They come from the family's stock diffusers pipeline with the model's own sampler; (seed, i) seeds the start
        noise of picture i. `side` is in px, by default the model's. Pixel models ignore the prompts.
        """
        return generate(self.model, prompts, seed=seed, steps=steps, guidance=guidance, side=side)

    def save(self, folder: str | Path) -> None:
        """Write the learned weights, as safetensors that stock diffusers loads, and `concept.json` with the settings.

        Load a LoRA by ``load_lora_weights(folder)``, a new token by ``load_textual_inversion`` of
        `learned_embeds.safetensors`, a trained network (with its token) by ``from_pretrained(folder)``, and Custom
        Diffusion's layers by ``unet.load_state_dict(load_file("custom_diffusion.safetensors"), strict=False)``.
        """
        folder = Path(folder)
        facts: dict[str, Any] = {"prompt": self.prompt, "model": self.model.name, "losses": self.losses}
        if self.settings:
            with quiet(), whole_files(folder) as beside:
                self.settings.write(self, beside)
            facts["settings"] = asdict(self.settings)
        write_text(folder / "concept.json", json.dumps(facts, indent=1) + "\n")


def generators(seed: int, first: int, count: int) -> list[torch.Generator]:
    """The random generators of pictures ``first .. first + count - 1``."""
    return [generator(seed, "generate", i) for i in range(first, first + count)]


@torch.no_grad()
def generate(
    model: Model,
    prompts: Sequence[str],
    *,
    seed: int = 0,
    steps: int = 30,
    guidance: float = 4.0,
    side: int | None = None,
) -> Tensor:
    """Like `Concept.generate`, for any model, trained or not."""
    from diffusers import DDIMPipeline

    pipe, parts = model.pipeline(), []
    if model.family == "ddpm":  # the deterministic sampler of such models: only its start is drawn
        pipe = DDIMPipeline(pipe.unet, pipe.scheduler)
        pipe.set_progress_bar_config(disable=True)
    for first in range(0, len(prompts), TOGETHER):
        batch = list(prompts[first : first + TOGETHER])
        inputs = model.call(batch, guidance, side or model.size)
        rng = generators(seed, first, len(batch))
        with model.autocast(), quiet():
            pictures = pipe(**inputs, num_inference_steps=steps, generator=rng, output_type="pt").images
        parts.append(torch.as_tensor(pictures).float().cpu())
    return torch.cat(parts)
