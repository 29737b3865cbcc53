"""IMPRESS: make the picture agree with its own reconstruction again (Cao et al., NeurIPS 2023, arXiv 2310.19248)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unlearnable.errors import UsageError, suggestion
from unlearnable.purification.base import Diffusing, between, latent
from unlearnable.purification.views import by_views, usual
from unlearnable.rng import image_keys

Distance = Callable[[Tensor, Tensor], Tensor]  # pictures and pictures -> ``[b]``


@dataclass(frozen=True)
class Impress(Diffusing):
    """IMPRESS: optimise the picture until the autoencoder reproduces it, within a bound on its distance from the input.

    Cao et al. (arXiv 2310.19248): ``min_y |y - D(E(y))|^2 + weight max(d(y, x) - bound, 0)`` by Adam with a cosine
    schedule, from their observation that perturbed pictures are reconstructed worse than clean ones. Deviations: their
    d is LPIPS, whose weights are not ours to ship, so d is ``ssim`` (1 - SSIM, 7 px windows) or ``rms`` (root mean
    square difference of samples in [0, 1]); the start is the picture, without their noise; and the bound is kept, not
    only asked for: a result beyond it is drawn back towards the input, straight, until it obeys (in each view, before
    samples are rounded). A bound of 0 is the identity.
    """

    bound: float = 0.1
    distance: str = "ssim"
    steps: int = 40
    lr: float = 0.01
    weight: float = 0.5

    def __post_init__(self) -> None:
        between("distance bound", self.bound, 0, 1)
        between("number of steps", self.steps, 0, 100_000)
        between("learning rate", self.lr, 0, 1)
        between("weight of the distance", self.weight, 0, 1e6)
        if self.distance not in DISTANCES:
            raise UsageError(f"unknown distance {self.distance!r}: {suggestion(self.distance, [*DISTANCES])}")

    def __call__(self, images: Tensor, *, seed: int = 0) -> Tensor:
        model, distance = latent(self.ready()), DISTANCES[self.distance]

        def consistent(x: Tensor, names: Sequence[str]) -> Tensor:
            y = x.clone().requires_grad_(True)
            optimiser = torch.optim.Adam([y], lr=self.lr)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, self.steps))
            with torch.enable_grad():
                for _ in range(self.steps):
                    inconsistency = (y - model.decode(model.encode(y))).square().flatten(1).mean(1)
                    loss = inconsistency + self.weight * (distance(y, x) - self.bound).clamp_min(0)
                    (y.grad,) = torch.autograd.grad(loss.sum(), y)
                    optimiser.step()
                    schedule.step()
                    y.data.clamp_(0, 1)
            return within(x, y.detach(), distance, self.bound)

        return by_views(model.device, usual(model), images, image_keys(images), consistent)


def within(x: Tensor, y: Tensor, distance: Distance, bound: float) -> Tensor:
    """The pictures on the straight ways from `x` to `y` that are as far along as `bound` allows, by bisection."""
    low, high = torch.zeros(len(x), 1, 1, 1, device=x.device), torch.ones(len(x), 1, 1, 1, device=x.device)
    obeys = (distance(y, x) <= bound).view(-1, 1, 1, 1)
    for _ in range(20):
        middle = (low + high) / 2
        near = (distance(x + middle * (y - x), x) <= bound).view(-1, 1, 1, 1)
        low, high = torch.where(near, middle, low), torch.where(near, high, middle)
    return torch.where(obeys, y, x + low * (y - x))


def rms(y: Tensor, x: Tensor) -> Tensor:
    """Root mean square difference, ``[b]``; its gradient is finite where there is no difference."""
    return (y - x).square().flatten(1).mean(1).clamp_min(1e-12).sqrt()


def dissimilarity(y: Tensor, x: Tensor) -> Tensor:
    """1 - SSIM, mean over 7 px Gaussian windows and channels, ``[b]``."""
    from kornia.metrics import ssim

    return 1 - ssim(y, x, window_size=7).flatten(1).mean(1)


DISTANCES: dict[str, Distance] = {"ssim": dissimilarity, "rms": rms}
