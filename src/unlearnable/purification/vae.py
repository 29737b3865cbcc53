"""VAE round trip: what every latent diffusion model does to a picture, without the diffusion."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from unlearnable.purification.base import Diffusing, latent
from unlearnable.purification.views import by_views, usual
from unlearnable.rng import image_keys


@dataclass(frozen=True)
class RoundTrip(Diffusing):
    """Through the autoencoder of a latent diffusion model and back.

    ``D(E(x))``, with the posterior's mean. With a model from `adaptive.adapted` this is the adaptive attacker's
    purifier.
    """

    def __call__(self, images: Tensor, *, seed: int = 0) -> Tensor:
        model = latent(self.ready())
        return by_views(
            model.device, usual(model), images, image_keys(images), lambda x, _: model.decode(model.encode(x))
        )
