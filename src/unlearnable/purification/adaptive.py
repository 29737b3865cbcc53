"""The adaptive attacker: an encoder that has learnt what a protection does to it.

Most protections work through the autoencoder's encoder. An attacker who knows the method protects pictures of their own
with it, and teaches the encoder that the protected picture means what the clean one meant. The encoder, trained on
other pictures, is then used on the victim's, in training or as a purifier, ``D(E'(x))``:
`vae.RoundTrip(model=adapted(...))`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from unlearnable.errors import UnlearnableError, UsageError
from unlearnable.models.base import Model
from unlearnable.models.latent import LatentModel
from unlearnable.purification.base import between, latent
from unlearnable.rng import name_seed


@dataclass(frozen=True)
class Adaptive:
    """The encoder is trained in `steps` of Adam at `lr`, on `batch` pairs a step."""

    steps: int = 300
    lr: float = 1e-4
    batch: int = 4

    def __post_init__(self) -> None:
        between("number of steps", self.steps, 0, 1_000_000)
        between("learning rate", self.lr, 0, 1)
        between("batch", self.batch, 1, 4096)


def adapted(
    model: Model, protected: Tensor, clean: Tensor, settings: Adaptive | None = None, *, seed: int = 0
) -> LatentModel:
    """A copy of `model` whose encoder was trained to ``min E |E'(protected) - E(clean)|^2`` on pairs ``[n 3 h w]``.

    E is the encoder as it was, E' the copy's; decoder and denoiser stay as they are, and so does `model`. Which pairs a
    step sees follows from (seed, step). Raises UsageError for pairs that do not fit or a model without autoencoder, and
    UnlearnableError where training diverges.
    """
    settings = settings or Adaptive()
    original = latent(model)
    if protected.shape != clean.shape or clean.ndim != 4 or not len(clean):
        raise UsageError(f"pairs of shapes {tuple(protected.shape)} and {tuple(clean.shape)}: give one of each picture")
    if any(side % model.multiple for side in clean.shape[-2:]):
        raise UsageError(f"pictures of {tuple(clean.shape[-2:])} px: sides must be multiples of {model.multiple}")
    twin = with_own_autoencoder(original)
    protected, clean = (x.to(model.device, torch.float32) for x in (protected, clean))
    with torch.no_grad():
        goals = torch.cat([original.encode(part) for part in clean.split(8)])
    parameters = [p for name, p in twin.vae.named_parameters() if name.startswith(("encoder.", "quant_conv."))]
    optimiser = torch.optim.Adam([p.requires_grad_(True) for p in parameters], lr=settings.lr)
    for step in range(settings.steps):
        order = torch.randperm(len(clean), generator=torch.Generator().manual_seed(name_seed(seed, "adaptive", step)))
        rows = order[: settings.batch].to(model.device)
        loss = (twin.encode(protected[rows]) - goals[rows]).square().mean()
        if not torch.isfinite(loss):
            raise UnlearnableError(f"the encoder's training diverged at step {step}: lower the learning rate")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    for p in parameters:
        p.requires_grad_(False)
    return twin


def with_own_autoencoder(model: LatentModel) -> LatentModel:
    """A model with an autoencoder of its own in float32, in its pipeline too; the rest is shared."""
    twin = copy.copy(model)
    twin.vae = copy.deepcopy(model.vae).float()
    twin.pipe = copy.copy(model.pipe)
    twin.pipe.vae = twin.vae
    return twin
