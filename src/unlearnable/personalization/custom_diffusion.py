"""Custom Diffusion: keys and values of the cross-attention learn a few pictures, and a new word names them.

Kumari et al., "Multi-Concept Customization of Text-to-Image Diffusion", CVPR 2023, arXiv 2212.04488: only what
reads the text moves (section 3.2), beside the embedding of a new word; pictures of the class are learned along, so
that the class stays what it was. `paper` has its rate 8e-5 at batch 8, 250 steps and 200 class pictures. Deviations:
the class pictures are the model's own unless some are given (they fetch photographs), the word starts as the class's
in place of a rare one, and pictures are shown at one scale (`augment` makes crops of them).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from unlearnable.models.base import Model
from unlearnable.personalization.base import Personalizer, Student
from unlearnable.personalization.concept import Concept
from unlearnable.storage.atomic import replacing

READS_TEXT = ("attn2.to_k", "attn2.to_v")
FILE = "custom_diffusion.safetensors"


@dataclass(frozen=True, kw_only=True)
class CustomDiffusion(Personalizer):
    """`lr` is the rate of keys, values and of the new word."""

    name: str = "custom-diffusion"
    steps: int = 250
    lr: float = 8e-5
    batch: int = 8

    def begin(self, model: Model, prompt: str, seed: int) -> Student:
        twin = model.copy(share=True, text=True)  # all other weights are only read
        layers = projections(twin).values()
        for layer in layers:
            layer.weight = nn.Parameter(layer.weight.detach().float().clone())
        token = self.new_token(twin, prompt)
        return Student(twin, [{"params": [*(layer.weight for layer in layers), *token.rows]}], token, reading=True)

    def write(self, concept: Concept, folder: Path) -> None:
        """The projections under their names in the U-Net: ``unet.load_state_dict(weights, strict=False)``."""
        from safetensors.torch import save_file

        weights = {f"{name}.weight": layer.weight for name, layer in projections(concept.model).items()}
        with replacing(folder / FILE) as temporary:
            save_file({name: w.detach().cpu().contiguous() for name, w in weights.items()}, temporary)
        if concept.token:
            concept.token.save(folder)


def projections(model: Model) -> dict[str, nn.Linear]:
    """The denoiser's key and value projections of the text, by name."""
    layers = model.denoiser.named_modules()
    return {name: layer for name, layer in layers if name.endswith(READS_TEXT) and isinstance(layer, nn.Linear)}


PRESETS = {
    "paper": CustomDiffusion(class_pictures=200),
    "embedded": CustomDiffusion(steps=400, lr=2e-3, batch=4, augment=True),
}
