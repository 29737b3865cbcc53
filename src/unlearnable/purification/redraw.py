"""img2img by another model: the picture is drawn again, lightly, by a model that the protection may not know."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from torch import Tensor

from unlearnable.models.base import Model
from unlearnable.purification.diffpure import check, descent, diffuse
from unlearnable.rng import image_keys


@dataclass(frozen=True)
class Redraw:
    """img2img by another model: noise up to a time of the schedule, then its deterministic sampler, no prompt.

    SDEdit (Meng et al., arXiv 2108.01073) as a countermeasure. `by` names the model, which need not be the one that is
    attacked or defended; 0 changes nothing.
    """

    strength: float = 0.3
    steps: int = 20
    by: str = "embedded"

    def __post_init__(self) -> None:
        check(self.strength, self.steps, 0)

    def __call__(self, images: Tensor, *, seed: int = 0) -> Tensor:
        if not self.strength:
            return images
        model = other(self.by)
        times = descent(model, self.strength, self.steps)
        return diffuse(model, images, times, 0, image_keys(images), seed, "redraw")


@cache
def other(name: str) -> Model:
    """The model of a folder, a hub id or ``embedded``, kept."""
    from unlearnable.models.load import load_model

    return load_model(name)
