"""The way of a picture: up to the start of its trajectory, shifted there, down again in k steps, and decoded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unlearnable.errors import UsageError
from unlearnable.ldu.phi import phi_of
from unlearnable.models.base import Model
from unlearnable.models.invert import descent, invert

DECODES = ("difference", "plain")


@dataclass(frozen=True)
class Route:
    """`k` steps of `phi` down from `t_start`, a share of the schedule; up in `inversion` steps, each `refine`d.

    `decode`: "difference" adds ``D(z'_0) - D(Phi(z_T))`` to the picture, so that no shift changes nothing; "plain" is
    the paper's ``D(z'_0)``, which also loses what the autoencoder loses.
    """

    phi: str = "auto"
    k: int = 1
    t_start: float = 0.125
    inversion: int = 10
    refine: int = 0
    decode: str = "difference"

    def __post_init__(self) -> None:
        if self.decode not in DECODES:
            raise UsageError(f"unknown decode {self.decode!r}: use {' or '.join(DECODES)}")
        if self.inversion < 1 or self.refine < 0:
            raise UsageError(f"inversion {self.inversion} and refine {self.refine}: give 1 or more, and 0 or more")


class Course:
    """A `route` on one model under one text."""

    def __init__(self, route: Route, model: Model, prompt: str) -> None:
        self.route, self.model, self.phi = route, model, phi_of(route.phi, model)
        self.times = self.phi.times(route.k, route.t_start)
        self.up = descent(model.schedule, min(max(route.inversion, route.k), self.times[0] + 1), self.times[0])
        with torch.no_grad():
            self.c = model.condition([prompt])
            self.c_down = self.c if self.phi.model is model else self.phi.model.condition([prompt])

    @torch.no_grad()
    def start(self, x: Tensor) -> Tensor:
        """``z_T`` of pictures ``[b 3 h w]``."""
        return invert(self.model, self.model.encode(x), self.c, self.up, self.route.refine)

    def arrive(self, z: Tensor) -> Tensor:
        """``z_0`` of (shifted) starts ``[b c h w]``; differentiable through all k steps."""
        return self.phi(z, self.c_down, self.times)

    @torch.no_grad()
    def origin(self, x: Tensor, z: Tensor) -> Tensor:
        """What a decoded picture is compared with: where its unshifted trajectory ends, or the picture itself."""
        return x if self.route.decode == "plain" else self.model.decode(self.arrive(z))

    def change(self, z_0: Tensor, origin: Tensor) -> Tensor:
        """What a shifted trajectory's end changes of its picture, ``[b 3 h w]``, unbounded."""
        return self.model.decode(z_0) - origin
