"""DiffPure: forward to t* by noising, and back by denoising (Nie et al., arXiv 2205.07460)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from unlearnable.models.base import Condition, Model
from unlearnable.models.schedule import CLEAN
from unlearnable.purification.base import Diffusing, between
from unlearnable.purification.views import by_views, usual
from unlearnable.rng import image_keys, normal


@dataclass(frozen=True)
class DiffPure(Diffusing):
    """DiffPure: noise up to t* (a share of the schedule), then denoise without a prompt; any loaded diffusion model.

    Nie et al. (arXiv 2205.07460, Sect. 3): ``z_t* = a(t*) z + s(t*) eps``, then the reverse process from t* to 0. `eta`
    1 goes back ancestrally (samples of the DDPM posterior: their reverse SDE), 0 deterministically (DDIM or Euler: the
    ODE). Their t* for ImageNet is 0.15. Deviations: at most `steps` evenly spaced times in place of all (150 at 0.15);
    what the network implies is not clipped on the way. With a latent model this happens in its latents, so that the
    autoencoder's loss comes on top; t* = 0 is the picture itself, without a round trip.
    """

    strength: float = 0.15
    steps: int = 20
    eta: float = 1.0

    def __post_init__(self) -> None:
        check(self.strength, self.steps, self.eta)

    def __call__(self, images: Tensor, *, seed: int = 0) -> Tensor:
        model = self.ready()
        times = descent(model, self.strength, self.steps)
        return diffuse(model, images, times, self.eta, image_keys(images), seed, "diffpure")


def check(strength: float, steps: int, eta: float) -> None:
    """Raise UsageError for settings out of range."""
    between("strength (t*, a share of the schedule)", strength, 0, 1)
    between("number of denoising steps", steps, 1, 1000)
    between("eta", eta, 0, 1)


def descent(model: Model, strength: float, steps: int) -> list[int]:
    """Times from t* down to the clean picture, `steps` moves at most; none where t* is before the first time."""
    top = round(strength * len(model.schedule)) - 1
    return [*model.schedule.spaced(min(steps, top + 1), top), CLEAN] if top >= 0 else []


def diffuse(model: Model, images: Tensor, times: list[int], eta: float, keys: Sequence[str], *name: object) -> Tensor:
    """Pictures ``[b 3 h w]`` of any size, noised to ``times[0]`` and denoised along `times`.

    Every view's noise is named by its key and `name`. Where tiles overlap, differently noised results are averaged.
    """
    if not times:
        return images
    with torch.no_grad():
        c = model.condition([""])

    def work(x: Tensor, views: Sequence[str]) -> Tensor:
        return model.decode(there_and_back(model, model.encode(x), c, times, eta, views, *name))

    return by_views(model.device, usual(model), images, keys, work)


def there_and_back(
    model: Model, z: Tensor, c: Condition, times: list[int], eta: float, keys: Sequence[str], *name: object
) -> Tensor:
    """Latents ``[b c h w]`` noised to ``times[0]``, denoised along `times`; noise is named by key, `name` and time."""

    def draw(time: int) -> Tensor:
        return normal(keys, z.shape[1:], *name, time, device=z.device)

    def all_at(time: int) -> Tensor:
        return torch.full([len(z)], time, device=z.device)

    z_t = model.noised(z, draw(times[0]), all_at(times[0]))
    for now, then in pairwise(times):
        t, s = all_at(now), all_at(then)
        out = model.predict(z_t, t, c)
        z_t = model.schedule.ancestral(z_t, t, s, out, draw(then), eta) if eta else model.jump(z_t, t, s, out)
    return z_t
