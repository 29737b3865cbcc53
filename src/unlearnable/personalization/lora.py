"""LoRA: low-rank adapters of the denoiser's attention learn a few pictures; the weights stay as they are.

Hu et al., arXiv 2106.09685, through peft, on the layers that the field's scripts choose (queries, keys, values and
outputs of all attention). The text encoders may get adapters too. The only attacker for transformers, as in the field.
`paper` has the rate, rank, batch and steps of diffusers' example, where the time t is drawn evenly.

Three presets are named after trainers that people use, with the figures of these tools' guides as far as we know them;
their code was not consulted. `ai-toolkit`: rank 32, 3,000 steps of one picture at 1e-4, t by the sigmoid of a normal
draw, batches at a half, three quarters and all of the model's size (512, 768 and 1024 px of FLUX). `onetrainer`: rank
16 at alpha 1, batches of four at 3e-4, t logit-normal; its 100 epochs are 500 steps for 20 pictures. `sd-scripts`: rank
4 at alpha 1, 400 steps of one picture at 1e-4, the text encoder at the same rate. Deviations of all three: adapters on
attention alone, plain AdamW, and no mirrored pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from unlearnable.models.adapters import TRANSFORMERS
from unlearnable.models.base import Model, clip_pairs
from unlearnable.models.finetune.lora import add_lora, add_text_lora
from unlearnable.personalization.base import UNETS, Personalizer, Student
from unlearnable.personalization.concept import Concept


@dataclass(frozen=True, kw_only=True)
class LoRA(Personalizer):
    """`rank` of the adapters, whose product counts by alpha / rank (`alpha` 0: the rank itself, so by 1).

    `text_lr` adds some to the CLIP text encoders. `token_lr` makes the token a new word with an embedding in training;
    transformers keep it an ordinary word.
    """

    families: ClassVar[tuple[str, ...]] = (*UNETS, *TRANSFORMERS)

    name: str = "lora"
    steps: int = 500
    lr: float = 1e-4
    batch: int = 1
    rank: int = 4
    alpha: float = 0.0
    clip: float = 1.0
    text_lr: float | None = None
    token_lr: float | None = None

    def begin(self, model: Model, prompt: str, seed: int) -> Student:
        new = self.token_lr and model.family in UNETS
        # the weights are shared and only read: a LoRA of the twin's own learns, and text encoders of its own if at all
        twin = model.copy(share=True, text=bool(self.text_lr or new))
        student = Student(twin, [{"params": add_lora(twin, self.rank, seed, self.alpha), "lr": self.lr}])
        if new:
            student.token = self.new_token(twin, prompt)
            student.groups.append({"params": student.token.rows, "lr": self.token_lr})
        if self.text_lr:
            student.groups.append({"params": add_text_lora(twin, self.rank, seed, self.alpha), "lr": self.text_lr})
        student.reading = len(student.groups) > 1
        return student

    def write(self, concept: Concept, folder: Path) -> None:
        from diffusers import StableDiffusion3Pipeline
        from peft import get_peft_model_state_dict

        pipe = concept.model.pipeline()
        save = getattr(pipe, "save_lora_weights", StableDiffusion3Pipeline.save_lora_weights)  # PixArt's has none
        network = "transformer" if hasattr(pipe, "transformer") else "unet"
        trained = {network: concept.model.denoiser}
        if self.text_lr:
            trained |= {encoder: getattr(pipe, encoder) for _, encoder in clip_pairs(pipe)}
        share = self.alpha / self.rank if self.alpha else 1.0  # goes into the file: readers take alpha for the rank
        layers: dict[str, Any] = {
            f"{name}_lora_layers": {
                key: w * share if "lora_B" in key else w for key, w in get_peft_model_state_dict(part).items()
            }
            for name, part in trained.items()
        }
        save(folder, **layers)
        if concept.token:
            concept.token.save(folder)


PRESETS = {
    "paper": LoRA(),
    "ai-toolkit": LoRA(steps=3000, rank=32, times="sigmoid", scales=(0.5, 0.75, 1.0)),
    "onetrainer": LoRA(steps=500, lr=3e-4, batch=4, rank=16, alpha=1.0, times="logit-normal"),
    "sd-scripts": LoRA(steps=400, alpha=1.0, text_lr=1e-4),
    "embedded": LoRA(steps=400, lr=1e-3, batch=4, rank=8, token_lr=5e-3, augment=True),
}
