"""How a network that knows only t is told its jump size, too.

diffusers' timestep embeddings take a second input, `timestep_cond`, through a projection: that of U-Nets built with
``time_cond_proj_dim``. All our families embed the time by a linear layer, so any of them gets such a projection of d
added to that layer's input, zero at first: the network then answers as it did. Which d it is told is set around a call
(`told`), since U-Nets would pass it on but transformers and pixel U-Nets have no way in for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from unlearnable.errors import UsageError

WIDTH = 64  # of the features of d
PERIOD = 64  # halvings, of their slowest wave


class StepSize:
    """The jump size of a `network`, given through `projection`; `ordinary` halvings mean d = 0."""

    def __init__(self, network: nn.Module, ordinary: int) -> None:
        embedding, first = time_embedding(network)
        self.projection = nn.Linear(WIDTH, first.in_features, bias=False, device=first.weight.device)
        nn.init.zeros_(self.projection.weight)
        embedding.cond_proj = self.projection
        first.register_forward_pre_hook(self._hook)
        self.ordinary = ordinary
        self.condition: Tensor | None = None

    @contextmanager
    def told(self, halvings: Tensor) -> Iterator[None]:
        """Inside, the network works for jumps of ``T / 2^halvings``, ``[b]``; outside for d = 0."""
        self.condition = features(halvings) - features(torch.full_like(halvings, self.ordinary))
        try:
            yield
        finally:
            self.condition = None

    def _hook(self, first: nn.Module, args: tuple[Any, ...]) -> Any:
        if self.condition is None:
            return None
        told = self.projection(self.condition)
        return args[0] + told.view(len(told), *[1] * (args[0].ndim - 2), -1)


def features(halvings: Tensor) -> Tensor:
    """Sines and cosines of the number of halvings, ``[b WIDTH]``."""
    from diffusers.models.embeddings import get_timestep_embedding

    return get_timestep_embedding(halvings, WIDTH, downscale_freq_shift=0, max_period=PERIOD)


# Where diffusers' networks embed the time, and the first layer there.
EMBEDDINGS = {
    "time_embedding": "linear_1", "time_text_embed.timestep_embedder": "linear_1",
    "time_guidance_embed.timestep_embedder": "linear_1", "time_caption_embed.timestep_embedder": "linear_1",
    "time_embed.emb.timestep_embedder": "linear_1", "adaln_single.emb.timestep_embedder": "linear_1",
    "t_embedder": "mlp.0", "distilled_guidance_layer": "in_proj",
}  # fmt: skip


def time_embedding(network: nn.Module) -> tuple[Any, Any]:
    """The timestep embedding of a U-Net or transformer of diffusers, and its first layer."""
    modules = dict(network.named_modules())
    for name, first in EMBEDDINGS.items():
        if name in modules:
            return modules[name], modules[f"{name}.{first}"]
    raise UsageError(f"a {type(network).__name__} has no timestep embedding: shortcuts need a diffusers U-Net or DiT")
