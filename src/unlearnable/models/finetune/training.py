"""Train a model on pictures: the one loop behind surrogates, personalization and the tests' fitted models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unlearnable.errors import UnlearnableError
from unlearnable.images.square import square
from unlearnable.models.base import Condition, Model
from unlearnable.models.finetune import times
from unlearnable.models.finetune.lora import add_lora
from unlearnable.models.finetune.texts import Captions
from unlearnable.rng import image_keys, name_seed, normal

# One text for all pictures: a function where the text encoder is in training, called at every step. Or one for each.
Text = Condition | Callable[[], Condition] | Captions


@dataclass(frozen=True)
class FineTune:
    """How to train: `steps` of AdamW at `lr` (None: the model's own default), `batch` pictures a step.

    `rank` above zero trains a LoRA of that rank on the attention layers (Hu et al., arXiv 2106.09685) and leaves the
    weights unchanged. `clip` above zero is the largest norm of the gradient. `ema` above zero is the decay of a running
    average of the weights, which replaces them when training ends. `cool` lets the rate fall linearly to zero over
    `steps`. `times` is the law of t (see `times`). Each batch is shown at one of the `scales` of the pictures' size,
    drawn evenly.
    """

    steps: int
    lr: float | None = None
    batch: int = 4
    rank: int = 0
    weight_decay: float = 1e-2
    clip: float = 0.0
    ema: float = 0.0
    cool: bool = False
    times: str = times.UNIFORM
    scales: tuple[float, ...] = (1.0,)


@dataclass(frozen=True)
class Prior:
    """Pictures of the class ``[n 3 h w]`` and their text, whose loss is added to the subject's with a `weight`.

    This is prior preservation, which keeps the class from turning into the subject (DreamBooth, arXiv 2208.12242, eq.
    2).
    """

    images: Tensor
    condition: Text
    weight: float = 1.0


def denoising_loss(model: Model, z: Tensor, noise: Tensor, t: Tensor, c: Condition) -> Tensor:
    """The loss of diffusion training, ``mean (out(z_t, t, c) - target)^2`` per picture, ``[b]``."""
    out = model.predict(model.noised(z, noise, t), t, c)
    return (out - model.target(z, noise, t)).square().flatten(1).mean(1)


@torch.no_grad()
def fixed_losses(model: Model, images: Tensor, prompt: str, *, draws: int = 16, seed: int = 0) -> Tensor:
    """Denoising loss of each picture ``[n 3 h w]`` under `prompt`, ``[n]``: the mean over `draws` fixed draws.

    Times are stratified over the schedule; (seed, draw) seeds the noise, which is the same for every picture, so that
    models and pictures are compared on identical draws (common random numbers).
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
    """A model in training with its optimiser, so that training may pause and resume (alternating surrogates).

    `done` counts finished steps, `losses` holds the loss of each. `whole` is False when training was interrupted in the
    middle of an update, so that the state is not that of a finished step.
    """

    def __init__(
        self,
        model: Model,
        settings: FineTune,
        seed: int = 0,
        groups: Sequence[dict[str, Any]] | None = None,
    ) -> None:
        """Train `model` itself: pass a copy.

        `groups` of parameters with their own rates, as torch's optimisers take them, replace the denoiser's parameters.
        """
        self.model, self.settings, self.seed, self.done = model, settings, seed, 0
        self.losses: list[float] = []
        self.between_steps = True
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
        """Train on pictures ``[n 3 h w]``. Seed, step and content decide each batch, its t and its noise.

        `keys` replace the content, so that runs on different pictures draw the same noise.

        `after` is called after every step. Raises UnlearnableError when the loss is no longer finite.
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
        finally:  # between two runs, callers need gradients of pictures only
            self.optimiser.zero_grad(set_to_none=True)
            for p in self.parameters:
                p.requires_grad_(False)
        return self.model

    def _data(self, images: Tensor, c: Text) -> tuple[Any, list[str], Text]:
        """Latents ``[n c h w]``, a list of them by scale; names of the pictures' randomness; texts."""
        with torch.no_grad():
            sizes = [scaled(images, scale, self.model.multiple) for scale in self.settings.scales]
            z = [torch.cat([self.model.encode(part) for part in x.split(8)]) for x in sizes]
        return z, image_keys(images), c

    def _loss(self, name: str, z: Any, keys: list[str], c: Text) -> Tensor:
        batch = min(self.settings.batch, len(keys))
        rng = torch.Generator().manual_seed(name_seed(self.seed, name, self.done))
        rows = torch.randperm(len(keys), generator=rng)[:batch]
        t = times.draw(self.settings.times, self.model.schedule, batch, rng).to(self.model.device)
        z = z[int(torch.randint(len(z), (), generator=rng))] if len(z) > 1 else z[0]
        noise = normal([keys[i] for i in rows], z.shape[1:], self.seed, name, self.done, device=z.device)
        text = c(rows) if isinstance(c, Captions) else c() if callable(c) else c
        return denoising_loss(self.model, z[rows.to(z.device)], noise, t, text).mean()

    def _step(self, loss: Tensor) -> None:
        if not torch.isfinite(loss):
            at = f"step {self.done} (loss {loss.item()})"
            raise UnlearnableError(f"training diverged at {at}: lower the learning rate")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.settings.clip:
            nn.utils.clip_grad_norm_(self.parameters, self.settings.clip)
        if self.settings.cool:  # from the step's number, so that checkpoints need no scheduler state
            for group, rate in zip(self.optimiser.param_groups, self.rates):
                group["lr"] = rate * max(0.0, 1 - self.done / self.settings.steps)
        self.between_steps = False
        self.optimiser.step()
        if self.average:
            self.average.step(self.parameters)
        self.losses.append(loss.item())
        self.done += 1
        self.between_steps = True

    def extra(self) -> dict[str, Tensor]:
        """Further tensors that a checkpoint saves, and restores in place."""
        return {}

    def settle(self) -> None:
        """End training: the running average, if there is one, replaces the weights."""
        if self.average:
            self.average.copy_to(self.parameters)


class OwnBatches(Trainer):
    """A trainer whose `_loss` draws its batches itself: it gets as they are the data and texts that `run` gets."""

    def _data(self, images: Tensor, c: Text) -> tuple[Tensor, list[str], Text]:
        return images, [], c


def scaled(images: Tensor, scale: float, multiple: int) -> Tensor:
    """Pictures at a share of their size, as squares whose side is a multiple of `multiple` px; unchanged for 1."""
    return images if scale == 1 else square(images, max(1, round(images.shape[-1] * scale / multiple)) * multiple)


def denoiser_parameters(model: Model, rank: int, seed: int) -> list[nn.Parameter]:
    """The denoiser's trainable parameters: all of them, or those of a LoRA."""
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
