"""Training from scratch, or on: the denoiser learns many pictures from random weights or from those it has.

The attacker of UDP (arXiv 2306.01902), for pixel DDPMs and the latent U-Nets. `paper` is the training of DDPM on small
pictures (Ho et al., arXiv 2006.11239, appendix B: rate 2e-4, batch 128, averaged weights 0.9999, 800,000 steps; its
mirroring is left out); `continued` goes on from the model's own weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from unlearnable.models.base import Model
from unlearnable.models.finetune.training import denoiser_parameters
from unlearnable.personalization.base import UNETS, Personalizer, Student
from unlearnable.personalization.concept import Concept


@dataclass(frozen=True, kw_only=True)
class Scratch(Personalizer):
    """`fresh` starts from random weights. The prompt is that of all pictures, and needs no token."""

    families: ClassVar[tuple[str, ...]] = (*UNETS, "ddpm")

    name: str = "scratch"
    steps: int = 800_000
    lr: float = 2e-4
    batch: int = 128
    weight_decay: float = 0.0
    clip: float = 1.0
    ema: float = 0.9999
    token: str = ""
    fresh: bool = True

    def begin(self, model: Model, prompt: str, seed: int) -> Student:
        twin = model.copy(scratch=self.fresh, seed=seed)
        return Student(twin, [{"params": denoiser_parameters(twin, 0, seed)}])

    def start(self, model: Model, seed: int) -> Model:
        return model.copy(scratch=True, seed=seed) if self.fresh else model

    def write(self, concept: Concept, folder: Path) -> None:
        concept.model.pipeline().save_pretrained(folder)


PRESETS = {
    "paper": Scratch(),
    "embedded": Scratch(steps=2000, lr=5e-4, batch=16, ema=0.995),
    "continued": Scratch(steps=500, lr=1e-4, batch=16, ema=0.99, fresh=False),
}
