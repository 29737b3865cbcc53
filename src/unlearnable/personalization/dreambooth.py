"""DreamBooth: all of the denoiser learns a few pictures of a subject under a rare word.

Ruiz et al., arXiv 2208.12242. Prior preservation (eq. 2) where class pictures are given. The text encoder, or an
embedding of the subject's own, may be trained along. `strong`, which `auto` takes on large models, trains the text
encoder too, both at 2e-6, and `strong-unet` the U-Net alone at 5e-6: the rates of diffusers' guide, which people use.
Give pictures of the class as well, as its users do, or take `prior`, which is that guide's run with a text encoder:
200 class pictures that the model draws itself, 800 steps of one picture and one of the class. `paper` and `paper-text`
have the rate of Anti-DreamBooth's attackers (5e-7, arXiv 2303.15433), which learns less and so flatters protections;
`embedded` learns four pictures in a minute and a half with the small model that ships here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from unlearnable.models.base import Model, text_parameters
from unlearnable.models.finetune.training import denoiser_parameters
from unlearnable.personalization.base import Personalizer, Student
from unlearnable.personalization.concept import Concept


@dataclass(frozen=True, kw_only=True)
class DreamBooth(Personalizer):
    """`text_lr` trains the text encoders too; `token_lr` makes the token a new word with an embedding in training."""

    name: str = "dreambooth"
    steps: int = 1000
    lr: float = 5e-7
    batch: int = 2
    clip: float = 1.0
    text_lr: float | None = None
    token_lr: float | None = None

    def begin(self, model: Model, prompt: str, seed: int) -> Student:
        twin = model.copy(text=bool(self.text_lr or self.token_lr))
        student = Student(twin, [{"params": denoiser_parameters(twin, 0, seed), "lr": self.lr}])
        if self.token_lr:
            student.token = self.new_token(twin, prompt)
            student.groups.append({"params": student.token.rows, "lr": self.token_lr})
        if self.text_lr:
            student.groups.append({"params": text_parameters(twin), "lr": self.text_lr})
        student.reading = len(student.groups) > 1
        return student

    def write(self, concept: Concept, folder: Path) -> None:
        concept.model.pipeline().save_pretrained(folder)


PRESETS = {
    "strong": DreamBooth(lr=2e-6, text_lr=2e-6),
    "strong-unet": DreamBooth(lr=5e-6),
    "prior": DreamBooth(steps=800, lr=2e-6, batch=1, text_lr=2e-6, class_pictures=200),
    "paper": DreamBooth(),
    "paper-text": DreamBooth(text_lr=5e-7),
    "embedded": DreamBooth(steps=400, lr=5e-5, batch=4, token_lr=5e-3, augment=True),
}
