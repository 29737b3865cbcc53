"""The interface of diffusion models that methods use; eps, v, flow, latent and pixel models all have it."""

from __future__ import annotations

import abc
import copy
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from unlearnable.models.schedule import Schedule
from unlearnable.rng import seeded

LARGE = 500_000_000  # parameters from which the field's fine-tuning rates for Stable Diffusion apply


@dataclass(frozen=True)
class Condition:
    """The text encoders' output for some prompts: tensors whose first axis is the prompt."""

    tensors: dict[str, Tensor] = field(default_factory=dict)

    def expand(self, batch: int) -> Condition:
        """Repeat a single prompt for `batch` pictures (a condition of `batch` prompts is returned unchanged)."""
        return Condition({k: v.expand(batch, *v.shape[1:]) if len(v) == 1 else v for k, v in self.tensors.items()})

    def detach(self) -> Condition:
        return Condition({k: v.detach() for k, v in self.tensors.items()})


class Model(abc.ABC):
    """A diffusion model over a diffusers pipeline.

    Pictures are ``[b 3 h w]`` float32 in [0, 1]; latents are ``[b c h' w']`` float32, scaled as the denoiser saw them;
    times `t` are int64 ``[b]`` in ``0 .. len(schedule) - 1``, least noise first. `family` is sd1, sd2, sdxl, ddpm or
    one of `adapters.TRANSFORMERS`; `size` the side in pixels the model was trained at; sides must be multiples of
    `multiple`; `factor` is what the autoencoder's latents are multiplied by.
    """

    factor: float = 1.0
    family: str
    size: int
    multiple: int

    def __init__(self, pipe: Any, name: str, denoiser: nn.Module, schedule: Schedule, amp: torch.dtype | None) -> None:
        self.pipe, self.name, self.denoiser, self.amp = pipe, name, denoiser, amp
        self.device = next(denoiser.parameters()).device
        self.schedule = schedule.to(self.device)
        for module in self.modules():
            module.requires_grad_(False).eval()

    @classmethod
    def scale(cls, denoiser: Mapping[str, Any], vae: Mapping[str, Any]) -> tuple[int, int]:
        """`size` and `multiple`, from the configurations of the denoiser and of the autoencoder (if there is one)."""
        raise NotImplementedError("models that are loaded by name have it")

    @abc.abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Latents of pictures (the mean of the posterior, so nothing is random)."""

    def posterior(self, x: Tensor) -> Tensor:
        """Mean and log-variance of the autoencoder's posterior, ``[b 2c h' w']`` unscaled; latents if there is none."""
        return self.encode(x)

    @abc.abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """Pictures of latents, not clamped."""

    @abc.abstractmethod
    def condition(self, prompts: Sequence[str]) -> Condition:
        """Text conditioning; gradients reach the text encoder's trainable parameters."""

    @abc.abstractmethod
    def predict(self, z_t: Tensor, t: Tensor, c: Condition) -> Tensor:
        """The denoiser's prediction (eps, v or flow) in float32."""

    @abc.abstractmethod
    def modules(self) -> list[nn.Module]:
        """Every network of the model, the denoiser first."""

    @abc.abstractmethod
    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Channels, rows and columns of the latents of one picture, without encoding it."""

    def call(self, prompts: Sequence[str], guidance: float, side: int) -> dict[str, Any]:
        """The stock pipeline's arguments for pictures of `prompts`, `side` px wide and high."""
        raise NotImplementedError("models over a pipeline have it")

    def noised(self, z: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        return self.schedule.noised(z, noise, t)

    def target(self, z: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        return self.schedule.target(z, noise, t)

    def jump(self, z_t: Tensor, t: Tensor, s: Tensor, out: Tensor) -> Tensor:
        return self.schedule.jump(z_t, t, s, out)

    def trainable(self) -> list[nn.Parameter]:
        """The denoiser's parameters that require a gradient."""
        return [p for p in self.denoiser.parameters() if p.requires_grad]

    def copy(self, *, scratch: bool = False, seed: int = 0, share: bool = False, text: bool = False) -> Model:
        """A model with its own denoiser in float32 (bf16 weights would lose small updates); the rest is shared.

        With `scratch` the copy's weights are drawn anew from `seed`. With `share` its denoiser has its own layers but
        the caller's weights, unchanged: enough to add a LoRA and train nothing else. With `text` it also has its own
        CLIP text encoders (in float32) and tokenizers.
        """
        twin = copy.copy(self)
        if scratch:
            with seeded(seed, "scratch"):
                fresh: Any = type(self.denoiser)
                twin.denoiser = fresh.from_config(self.denoiser.config).to(self.device).eval()
            prepare(twin.denoiser, getattr(self.denoiser, "is_gradient_checkpointing", False))
        else:
            twin.denoiser = copy.deepcopy(self.denoiser, {id(p): p for p in self.denoiser.parameters() if share})
        if not share:
            twin.denoiser.float().requires_grad_(False)
        if text:
            twin.pipe = copy.copy(self.pipe)
            for tokenizer, encoder in clip_pairs(self.pipe):
                setattr(twin.pipe, tokenizer, copy.deepcopy(getattr(self.pipe, tokenizer)))
                setattr(twin.pipe, encoder, copy.deepcopy(getattr(self.pipe, encoder)).float())
        return twin

    def pipeline(self) -> Any:
        """The stock diffusers pipeline over this model's networks, with its own scheduler."""
        pipe = copy.copy(self.pipe)
        setattr(pipe, "transformer" if hasattr(pipe, "transformer") else "unet", self.denoiser)
        pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    @property
    def fine_tune_lr(self) -> float:
        """The field's DreamBooth rate for large models; small ones (embedded, tests) need a larger one to move."""
        return 5e-7 if self.large else 1e-4

    @property
    def large(self) -> bool:
        return sum(p.numel() for p in self.denoiser.parameters()) >= LARGE

    def fingerprint(self) -> str:
        """A hex digest of the name, the computing type and a sample of the weights."""
        return fingerprint(f"{self.name} {self.family} {self.amp}", *self.modules())

    @contextmanager
    def autocast(self) -> Iterator[None]:
        with torch.autocast(self.device.type, dtype=self.amp or torch.bfloat16, enabled=self.amp is not None):
            yield


def fingerprint(text: str, *networks: nn.Module) -> str:
    """A hex digest of a text and a sample of the weights of networks."""
    digest = hashlib.sha256(text.encode())
    for network in networks:
        for p in network.parameters():
            first = torch.atleast_1d(p.detach())[:8]  # flatten copies tensors in other layouts, so only a few rows
            digest.update(first.flatten()[:8].float().cpu().numpy().tobytes())
    return digest.hexdigest()[:32]


def in_latents(model: Model) -> Any:
    """The model with the identity as its encoder, so that latents take the place of pictures."""
    twin: Any = copy.copy(model)
    twin.encode = lambda z: z
    return twin


def clip_pairs(pipe: Any) -> list[tuple[str, str]]:
    """Names of the pipeline's CLIP tokenizers and text encoders, which are the ones that the field trains."""
    pairs = [("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")]
    return [(t, e) for t, e in pairs if type(getattr(pipe, e, None)).__name__.startswith("CLIP")]


def text_parameters(model: Model) -> list[nn.Parameter]:
    """All parameters of the CLIP text encoders, made trainable; they must be the model's own (`copy(text=True)`)."""
    encoders = [getattr(model.pipe, name).requires_grad_(True) for _, name in clip_pairs(model.pipe)]
    return [p for encoder in encoders for p in encoder.parameters()]


def prepare(network: Any, checkpointing: bool) -> None:
    """Use the faster memory layout for convolutions, and with `checkpointing` trade time for memory."""
    if {p.ndim for p in network.parameters()} & {4, 5} == {4}:  # the layout is for pictures, not for videos
        network.to(memory_format=torch.channels_last)
    if checkpointing and hasattr(network, "enable_gradient_checkpointing"):
        network.enable_gradient_checkpointing()


def weight_dtype(module: nn.Module) -> torch.dtype:
    return next(module.parameters()).dtype
