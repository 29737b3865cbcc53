"""Countermeasures are settings that are called with pictures and return pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from unlearnable.errors import UsageError

if TYPE_CHECKING:
    from unlearnable.models.base import Model
    from unlearnable.models.latent import LatentModel


class Purifier(Protocol):
    """A frozen dataclass whose fields all have defaults; the first is its strength.

    Pictures ``[b 3 h w]`` in [0, 1] go in and come out, of the same shape. What comes out of one picture depends on
    that picture and on `seed` alone, never on its batch.
    """

    def __call__(self, images: Tensor, *, seed: int = 0) -> Tensor: ...


@dataclass(frozen=True)
class Diffusing:
    """Base of the countermeasures that need a diffusion model, which they carry."""

    model: Model | None = field(default=None, kw_only=True, repr=False, compare=False)

    @property
    def needs_model(self) -> bool:
        return True

    def ready(self) -> Model:
        """The model; UsageError where none was given."""
        if self.model is None:
            raise UsageError(f"{type(self).__name__} needs a diffusion model: pass model=, or --model when purifying")
        return self.model


def between(what: str, value: float, low: float, high: float) -> None:
    """Raise UsageError unless a setting lies in its range (nan never does)."""
    if not low <= value <= high:
        raise UsageError(f"{what} {value:g} is out of range: give {low:g} to {high:g}")


def latent(model: Model) -> LatentModel:
    """The model itself, if it has an autoencoder."""
    from unlearnable.models.latent import LatentModel

    if not isinstance(model, LatentModel):
        raise UsageError(f"model {model.name!r} has no autoencoder: use a latent model such as 'embedded'")
    return model
