"""Textual Inversion: one new word learns a few pictures; nothing else of the model moves.

Gal et al., arXiv 2208.01618. `paper` and `paper-short` are LDU's attackers (arXiv 2510.03089): learning rate 5e-4 times
the batch of 4 (the field's `scale_lr`), 1500 and 400 steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unlearnable.models.base import Model
from unlearnable.personalization.base import Personalizer, Student
from unlearnable.personalization.concept import Concept


@dataclass(frozen=True, kw_only=True)
class TextualInversion(Personalizer):
    """`lr` is the rate of the new word's embedding (SDXL: of one in each text encoder)."""

    name: str = "textual-inversion"
    steps: int = 1500
    lr: float = 5e-4 * 4

    def begin(self, model: Model, prompt: str, seed: int) -> Student:
        twin = model.copy(share=True, text=True)  # the denoiser is only read; the word goes into encoders of its own
        token = self.new_token(twin, prompt)
        return Student(twin, [{"params": token.rows}], token, reading=True)

    def write(self, concept: Concept, folder: Path) -> None:
        if concept.token:
            concept.token.save(folder)


PRESETS = {
    "paper": TextualInversion(),
    "paper-short": TextualInversion(steps=400),
    "embedded": TextualInversion(steps=400, lr=2e-2, augment=True),
}
