"""LoRA: low-rank adapters of the denoiser's attention learn a few pictures; the weights stay as they are.

Hu et al., arXiv 2106.09685, through peft, on the layers that the field's scripts choose (queries, keys, values and
outputs of all attention). The text encoders may get adapters too. The only attacker for transformers, as in the field.
`paper` has the rate, rank, batch and steps of diffusers' example. The time t is drawn evenly, for flow models as well.
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
    """`rank` of the adapters; `text_lr` adds some to the CLIP text encoders.

    `token_lr` makes the token a new word with an embedding in training; transformers keep it an ordinary word.
    """

    families: ClassVar[tuple[str, ...]] = (*UNETS, *TRANSFORMERS)

    name: str = "lora"
    steps: int = 500
    lr: float = 1e-4
    batch: int = 1
    rank: int = 4
    clip: float = 1.0
    text_lr: float | None = None
    token_lr: float | None = None

    def begin(self, model: Model, prompt: str, seed: int) -> Student:
        new = self.token_lr and model.family in UNETS
        # the weights are shared and only read: a LoRA of the twin's own learns, and text encoders of its own if at all
        twin = model.copy(share=True, text=bool(self.text_lr or new))
        student = Student(twin, [{"params": add_lora(twin, self.rank, seed), "lr": self.lr}])
        if new:
            student.token = self.new_token(twin, prompt)
            student.groups.append({"params": student.token.rows, "lr": self.token_lr})
        if self.text_lr:
            student.groups.append({"params": add_text_lora(twin, self.rank, seed), "lr": self.text_lr})
        student.reading = len(student.groups) > 1
        return student

    def write(self, concept: Concept, folder: Path) -> None:
        from diffusers import StableDiffusion3Pipeline
        from peft import get_peft_model_state_dict

        pipe = concept.model.pipeline()
        save = getattr(pipe, "save_lora_weights", StableDiffusion3Pipeline.save_lora_weights)  # PixArt's has none
        network = "transformer" if hasattr(pipe, "transformer") else "unet"
        layers: dict[str, Any] = {f"{network}_lora_layers": get_peft_model_state_dict(concept.model.denoiser)}
        if self.text_lr:
            for _, encoder in clip_pairs(pipe):
                layers[f"{encoder}_lora_layers"] = get_peft_model_state_dict(getattr(pipe, encoder))
        save(folder, **layers)
        if concept.token:
            concept.token.save(folder)


PRESETS = {
    "paper": LoRA(),
    "embedded": LoRA(steps=400, lr=1e-3, batch=4, rank=8, token_lr=5e-3, augment=True),
}
