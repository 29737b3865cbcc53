"""Train a model on pictures: the one loop behind surrogates, personalization and the tests' fitted models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unlearnable.errors import UnlearnableError
from unlearnable.models.base import Condition, Model
from unlearnable.models.finetune.lora import add_lora
from unlearnable.rng import image_keys, name_seed, normal

Text = Condition | Callable[[], Condition]  # a function where the text encoder is in training: asked at every step


@dataclass(frozen=True)
class FineTune:
    """How to train: `steps` of AdamW at `lr` (None: the model's own default), `batch` pictures a step.

    `rank` above zero trains a LoRA of that rank on the attention layers (Hu et al., arXiv 2106.09685) and leaves the
    weights as they are. `clip` above zero is the largest norm of the gradient. `ema` above zero is the decay of a
    running average of the weights, which replaces them when training ends. `cool` lets the rate fall to zero, in a
    straight line over `steps`.
    """

    steps: int
    lr: float | None = None
    batch: int = 4
    rank: int = 0
    weight_decay: float = 1e-2
    clip: float = 0.0
    ema: float = 0.0
    cool: bool = False


@dataclass(frozen=True)
class Prior:
    """Pictures of the class ``[n 3 h w]`` and their text, trained on beside the subject's with a `weight`.

    Prior preservation, which keeps the class from turning into the subject (DreamBooth, arXiv 2208.12242, eq. 2).
    """

    images: Tensor
    condition: Text
    weight: float = 1.0


def denoising_loss(model: Model, z: Tensor, noise: Tensor, t: Tensor, c: Condition) -> Tensor:
    """``mean (out(z_t, t, c) - target)^2`` per picture, ``[b]``: what diffusion training minimises."""
    out = model.predict(model.noised(z, noise, t), t, c)
    return (out - model.target(z, noise, t)).square().flatten(1).mean(1)


@torch.no_grad()
def fixed_losses(model: Model, images: Tensor, prompt: str, *, draws: int = 16, seed: int = 0) -> Tensor:
    """Denoising loss of each picture ``[n 3 h w]`` under `prompt`, ``[n]``: the mean over `draws` fixed draws.

    Times are stratified over the schedule; the noise of a draw is named by (seed, draw) and is the same for every
    picture, so that models and pictures are compared on identical draws (common random numbers).
    """
    c, total = model.condition([prompt]), []
    for part in images.to(model.device, torch.float32).split(8):
        z, loss = model.encode(part), torch.zeros(len(part), device=model.device)
        for i in range(draws):
            t = torch.full([len(z)], int((i + 0.5) / draws * len(model.schedule)), device=z.device)
            noise = normal([f"draw {i}"], z.shape[1:], "fixed losses", seed, device=z.device).expand_as(z)
            loss += denoising_loss(model, z, noise, t, c) / draws
        total.append(loss)
    return torch.cat(total)


class Trainer:
    """A model in training with its optimiser, so that training may stop and go on (alternating surrogates).

    `done` steps lie behind it, with the `losses` of each. `whole` says whether its state is that of a finished step,
    which it is not when it was interrupted in the middle of an update.
    """

    def __init__(
        self,
        model: Model,
        settings: FineTune,
        seed: int = 0,
        groups: Sequence[dict[str, Any]] | None = None,
    ) -> None:
        """Takes `model` over: pass a copy.

        `groups` of parameters with rates of their own, as torch's optimisers take them, replace the denoiser's.
        """
        self.model, self.settings, self.seed, self.done = model, settings, seed, 0
        self.losses: list[float] = []
        self.whole = True
        groups = [{"params": denoiser_parameters(model, settings.rank, seed)}] if groups is None else groups
        lr = model.fine_tune_lr if settings.lr is None else settings.lr
        self.parameters: list[nn.Parameter] = [p for group in groups for p in group["params"]]
        self.optimiser = torch.optim.AdamW(groups, lr=lr, weight_decay=settings.weight_decay)
        self.rates = [group["lr"] for group in self.optimiser.param_groups]
        self.average: Any = None
        if settings.ema:
            from diffusers.training_utils import EMAModel

            self.average = EMAModel(self.parameters, decay=settings.ema)

    def run(
        self,
        images: Tensor,
        c: Text,
        steps: int | None = None,
        *,
        prior: Prior | None = None,
        after: Callable[[Trainer], None] | None = None,
        keys: Sequence[str] | None = None,
    ) -> Model:
        """Train on pictures ``[n 3 h w]``; which ones, t and noise follow from (seed, step) and their content.

        `keys` replace the content, so that runs on different pictures draw the same noise.

        `after` is called behind every step. Raises UnlearnableError when the loss is no longer finite.
        """
        z, content, c = self._data(images, c)
        subject = z, content if keys is None else list(keys), c
        kind = self._data(prior.images, prior.condition) if prior else None
        for p in self.parameters:
            p.requires_grad_(True)
        try:
            for _ in range(self.settings.steps if steps is None else steps):
                loss = self._loss("train", *subject)
                if prior and kind:
                    loss = loss + prior.weight * self._loss("prior", *kind)
                self._step(loss)
                if after:
                    after(self)
        finally:  # whoever uses the model between two runs wants gradients of pictures only
            self.optimiser.zero_grad(set_to_none=True)
            for p in self.parameters:
                p.requires_grad_(False)
        return self.model

    def _data(self, images: Tensor, c: Text) -> tuple[Tensor, list[str], Text]:
        with torch.no_grad():
            z = torch.cat([self.model.encode(part) for part in images.split(8)])
        return z, image_keys(images), c

    def _loss(self, name: str, z: Tensor, keys: list[str], c: Text) -> Tensor:
        batch = min(self.settings.batch, len(z))
        rng = torch.Generator().manual_seed(name_seed(self.seed, name, self.done))
        rows = torch.randperm(len(z), generator=rng)[:batch]
        t = torch.randint(len(self.model.schedule), (batch,), generator=rng).to(z.device)
        noise = normal([keys[i] for i in rows], z.shape[1:], self.seed, name, self.done, device=z.device)
        return denoising_loss(self.model, z[rows.to(z.device)], noise, t, c() if callable(c) else c).mean()

    def _step(self, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            at = f"step {self.done} (loss {loss.item()})"
            raise UnlearnableError(f"training diverged at {at}: lower the learning rate")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.settings.clip:
            nn.utils.clip_grad_norm_(self.parameters, self.settings.clip)
        if self.settings.cool:  # by the step's number, so that a checkpoint holds no more than it did
            for group, rate in zip(self.optimiser.param_groups, self.rates):
                group["lr"] = rate * max(0.0, 1 - self.done / self.settings.steps)
        self.whole = False
        self.optimiser.step()
        if self.average:
            self.average.step(self.parameters)
        self.losses.append(loss.item())
        self.done += 1
        self.whole = True

    def extra(self) -> dict[str, Tensor]:
        """More tensors that a checkpoint keeps, and changes in place when it is read."""
        return {}

    def settle(self) -> None:
        """The end of training: the running average, if there is one, replaces the weights."""
        if self.average:
            self.average.copy_to(self.parameters)


def denoiser_parameters(model: Model, rank: int, seed: int) -> list[nn.Parameter]:
    """What of the denoiser is trained: all of it, or a LoRA."""
    if rank:
        return add_lora(model, rank, seed)
    model.denoiser.requires_grad_(True)
    return model.trainable()


def fine_tune(
    model: Model, images: Tensor, prompt: str, settings: FineTune, seed: int = 0, scratch: bool = False
) -> Model:
    """A copy of `model` trained on `images` under `prompt`; from new weights with `scratch`."""
    with torch.no_grad():
        c = model.condition([prompt])
    return Trainer(model.copy(scratch=scratch, seed=seed), settings, seed).run(images, c)
