"""Whether an attacker learned anything. If it did not learn clean pictures, it tests no protection."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from unlearnable.images.square import square
from unlearnable.models.base import Model
from unlearnable.models.finetune.training import fixed_losses
from unlearnable.personalization.concept import Concept
from unlearnable.personalization.prompts import without

LEAST = 0.01  # share by which the loss on its own pictures falls when an attacker has learned them


@dataclass(frozen=True)
class Fit:
    """Mean denoising loss on some pictures before and after, on the same draws of noise and time."""

    before: float
    after: float

    @property
    def gain(self) -> float:
        """The share by which the loss fell."""
        return 1 - self.after / self.before

    @property
    def learned(self) -> bool:
        return self.gain >= LEAST


def fit_of(model: Model, concept: Concept, images: Tensor, *, draws: int = 16, seed: int = 0) -> Fit:
    """Losses on pictures ``[n 3 h w]`` of `model`, the untouched one, and of the concept that learned from it.

    Training from random weights is compared with those weights. `seed` is that of the training.

    The untouched model's prompt lacks the token, which it does not know: it reads "a photo of dog" where the attacker
    reads "a photo of sks dog".
    """
    token, x = "", square(images.to(model.device), model.size)
    if concept.settings:
        token, model = concept.settings.token, concept.settings.start(model, seed)
    before = fixed_losses(model, x, without(concept.prompt, token), draws=draws, seed=seed).mean()
    after = fixed_losses(concept.model, x, concept.prompt, draws=draws, seed=seed).mean()
    return Fit(float(before), float(after))


def warning(fit: Fit) -> str | None:
    """A sentence where the attacker did not learn its own pictures, else None."""
    if fit.learned:
        return None
    return (
        f"the attacker did not learn its own pictures (loss {fit.before:.4f} before, {fit.after:.4f} after): it says "
        "nothing about a protection; train longer, or at a higher rate"
    )
