"""How a network that knows only t is told its jump size, too.

diffusers' timestep embeddings take a second input, `timestep_cond`, through a projection: that of U-Nets built with
``time_cond_proj_dim``. All our families have such an embedding, so any of them gets a projection here, zero at first:
the network then answers as it did. Which d it is told is set around a call (`told`), since U-Nets would pass it
on but transformers and pixel U-Nets have no way in for it.
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
        embedding = time_embedding(network)
        inside = embedding.linear_1
        self.projection = nn.Linear(WIDTH, inside.in_features, bias=False, device=inside.weight.device)
        nn.init.zeros_(self.projection.weight)
        embedding.cond_proj = self.projection
        embedding.register_forward_pre_hook(self._hook)
        self.ordinary = ordinary
        self.condition: Tensor | None = None

    @contextmanager
    def conditioned(self, halvings: Tensor) -> Iterator[None]:
        """Inside, the network works for jumps of ``T / 2^halvings``, ``[b]``; outside for d = 0."""
        self.condition = features(halvings) - features(torch.full_like(halvings, self.ordinary))
        try:
            yield
        finally:
            self.condition = None

    def _hook(self, embedding: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return args[0], self.condition


def features(halvings: Tensor) -> Tensor:
    """Sines and cosines of the number of halvings, ``[b WIDTH]``."""
    from diffusers.models.embeddings import get_timestep_embedding

    return get_timestep_embedding(halvings, WIDTH, downscale_freq_shift=0, max_period=PERIOD)


def time_embedding(network: nn.Module) -> Any:
    """The timestep embedding of a U-Net or transformer of diffusers."""
    for name in ("time_embedding", "time_text_embed.timestep_embedder"):
        module: Any = network
        for part in name.split("."):
            module = getattr(module, part, None)
        if module is not None:
            return module
    raise UsageError(f"a {type(network).__name__} has no timestep embedding: shortcuts need a diffusers U-Net or DiT")
