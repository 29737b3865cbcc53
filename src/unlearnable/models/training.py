"""Train a model on pictures: the one loop behind surrogates, personalization and the tests' fitted models."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unlearnable.errors import UnlearnableError
from unlearnable.models.base import Condition, Model
from unlearnable.rng import image_keys, name_seed, normal, seeded

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
CONVOLUTION = ["conv1", "conv2"]  # for pixel U-Nets without attention


@dataclass(frozen=True)
class FineTune:
    """How to train: `steps` of AdamW at `lr` (None: the model's own default), `batch` pictures a step.

    `rank` above zero trains a LoRA of that rank on the attention layers (Hu et al., arXiv 2106.09685) and leaves the
    weights as they are.
    """

    steps: int
    lr: float | None = None
    batch: int = 4
    rank: int = 0
    weight_decay: float = 1e-2


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
    """A model in training with its optimiser, so that training may stop and go on (alternating surrogates)."""

    def __init__(self, model: Model, settings: FineTune, seed: int = 0) -> None:
        """Takes `model` over: pass a copy."""
        self.model, self.settings, self.seed, self.done = model, settings, seed, 0
        if settings.rank:
            add_lora(model, settings.rank, seed)
        else:
            model.denoiser.requires_grad_(True)
        lr = model.fine_tune_lr if settings.lr is None else settings.lr
        self.parameters = model.trainable()
        self.optimiser = torch.optim.AdamW(self.parameters, lr=lr, weight_decay=settings.weight_decay)

    def run(self, images: Tensor, c: Condition, steps: int | None = None) -> Model:
        """Train on pictures ``[n 3 h w]``; which ones, t and noise follow from (seed, step) and their content."""
        with torch.no_grad():
            z = torch.cat([self.model.encode(part) for part in images.split(8)])
        keys, count, batch = image_keys(images), len(images), min(self.settings.batch, len(images))
        for p in self.parameters:
            p.requires_grad_(True)
        for _ in range(self.settings.steps if steps is None else steps):
            rng = torch.Generator().manual_seed(name_seed(self.seed, "train", self.done))
            rows = torch.randperm(count, generator=rng)[:batch]
            t = torch.randint(len(self.model.schedule), (batch,), generator=rng).to(z.device)
            noise = normal([keys[i] for i in rows], z.shape[1:], self.seed, "train", self.done, device=z.device)
            loss = denoising_loss(self.model, z[rows.to(z.device)], noise, t, c).mean()
            if not torch.isfinite(loss):
                at = f"step {self.done} (loss {loss.item()})"
                raise UnlearnableError(f"training diverged at {at}: lower the learning rate")
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
            self.done += 1
        self.optimiser.zero_grad(set_to_none=True)
        for p in self.parameters:  # whoever uses the model between two runs wants gradients of pictures only
            p.requires_grad_(False)
        return self.model


def fine_tune(
    model: Model, images: Tensor, prompt: str, settings: FineTune, seed: int = 0, scratch: bool = False
) -> Model:
    """A copy of `model` trained on `images` under `prompt`; from new weights with `scratch`."""
    with torch.no_grad():
        c = model.condition([prompt])
    return Trainer(model.copy(scratch=scratch, seed=seed), settings, seed).run(images, c)


def add_lora(model: Model, rank: int, seed: int) -> None:
    """Put a trainable LoRA into the denoiser, its random half drawn from `seed`; one that is there is trained on."""
    from peft import LoraConfig, inject_adapter_in_model

    names = {name.rsplit(".", 1)[-1] for name, _ in model.denoiser.named_modules()}
    layers = ATTENTION if "to_q" in names else CONVOLUTION
    if "lora_A" not in names:  # peft would quietly reset it
        with seeded(seed, "lora"):
            inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=layers), model.denoiser)
    for name, p in model.denoiser.named_parameters():
        p.requires_grad_("lora_" in name)
