"""The perturbation of Latent Diffusion Unlearning: the start of a picture's denoising trajectory moves.

`Course` takes a picture up to that start, down again in k steps, and decodes it; `Trajectory` is what the engine moves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from unlearnable import rng
from unlearnable.errors import UsageError
from unlearnable.ldu.lagrangian import Dual, spent, steepest
from unlearnable.ldu.phi import phi_of
from unlearnable.ldu.shift import Free, Rho
from unlearnable.models.base import Model
from unlearnable.models.invert import descent, invert
from unlearnable.protection.constraints import Constraint, L2Constraint, LinfConstraint, masked
from unlearnable.protection.parameterisation import Scene, tied

if TYPE_CHECKING:
    from unlearnable.ldu.method import TrajectoryShift


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
        """The picture that a decoded one is compared with: its unshifted trajectory's end, or the picture itself."""
        return x if self.route.decode == "plain" else self.model.decode(self.arrive(z))

    def change(self, z_0: Tensor, origin: Tensor) -> Tensor:
        """The change of a picture by its shifted trajectory, ``[b 3 h w]``, unbounded."""
        return self.model.decode(z_0) - origin


PROBE = 0.05  # of a latent's spread: the shift by which the gain of a trajectory is measured
FIRST = 2.0  # steps' length of the noise that a shift starts from


class Trajectory:
    """Shifts the trajectories of a scene's pictures; see `TrajectoryShift` for the settings.

    The gradient of the objective, taken at the picture within its budget, goes down through the decoder and all k
    steps to the shift, together with the Lagrangian's gradient of the unbounded change.
    """

    def __init__(self, settings: TrajectoryShift, course: Course, scene: Scene, rho: Rho | None, steps: int) -> None:
        self.settings, self.course, self.scene, self.moves = settings, course, scene, steps > 0
        self.z = course.start(scene.x)
        self.origin = course.origin(scene.x, self.z)
        self.residual = torch.zeros_like(scene.x)
        self.pixels = replace(scene, constraint=scaled(scene.constraint, settings.residual))
        shared = settings.shift == "network"
        if shared:
            self.shift: Free | Rho = Rho(self.z.shape[1], settings.width, scene.seed).to(self.z.device)
        else:
            passing = rho is not None and not self.moves  # one pass: nothing will move, so nothing is probed
            length = torch.ones_like(self.z[:, :1, :1, :1]) if passing else self._length()
            self.shift = Free(self._start(rho, length), length)
        self.parameters = list(self.shift.parameters())
        kind = torch.optim.Adam if shared or settings.optimiser == "adam" else torch.optim.SGD
        self.optimiser = kind(self.parameters, lr=settings.lr if shared else 1.0)
        self._refresh()
        parts = len(self.used)
        self.dual = Dual(torch.zeros(parts, 1 if shared else len(self.z), device=self.z.device), settings.rate)

    @property
    def seen(self) -> Tensor:
        """The picture within its budget, as an attacker gets it; or, for the latent variant, the trajectory's end."""
        return self.z_0.detach() if self.settings.latent else self.scene.x + self.delta

    def move(self, gradient: Tensor, pace: Tensor | float = 1.0) -> None:
        push = pace * steepest(self.scene.constraint, gradient)
        aim = self.z_0 if self.settings.latent else self.raw
        with torch.enable_grad():
            loss = self.dual.penalty(self.used).sum() - (push * aim).sum()
            self.optimiser.zero_grad()
            loss.backward()
        if self.settings.optimiser == "normalised" and isinstance(self.shift, Free):
            g = self.shift.value.grad
            assert g is not None
            self.shift.value.grad = L2Constraint(1.0).direction(g)
        self.optimiser.step()
        self.dual.ascend(self.used.detach())
        if self.settings.residual:
            self._move_residual(gradient, pace)
        self._refresh()

    def _refresh(self) -> None:
        """Follow the shifted trajectories down; their graph is kept for the next move."""
        with torch.set_grad_enabled(self.moves):
            self.z_0 = self.course.arrive(self.z + self.shift(self.z))
            change = self.course.change(self.z_0, self.origin)
            self.raw = tied(change, self.scene.grey) * self.scene.mask + self.residual
            self.used = spent(self.scene.constraint, self.scene.x, self.raw, masked(self.scene.mask, self.raw))
        self.delta = self.scene.project(self.raw.detach())

    @torch.no_grad()
    def _start(self, rho: Rho | None, length: Tensor) -> Tensor:
        if rho is not None:
            shift: Tensor = rho(self.z)
            return shift
        if self.settings.start == "zero":
            return torch.zeros_like(self.z)
        noise = rng.normal(self.scene.keys, self.z.shape[1:], "shift", self.scene.seed, device=self.z.device)
        return FIRST * length * noise

    @torch.no_grad()
    def _length(self) -> Tensor:
        """The shift, ``[b 1 1 1]``, that changes a picture by `step` times its budget, about."""
        s = self.settings
        noise = rng.normal(self.scene.keys, self.z.shape[1:], "probe", device=self.z.device)
        plain, moved = (self.course.model.decode(self.course.arrive(z)) for z in (self.z, self.z + PROBE * noise))
        change = (moved - plain).square().flatten(1).mean(1).sqrt().view(-1, 1, 1, 1)
        return s.step * self.scene.constraint.radius / 255 * PROBE / change.clamp_min(1e-6)

    def _move_residual(self, gradient: Tensor, pace: Tensor | float) -> None:
        """The pixels' own small share of the budget, by the same ascent as pixel methods take."""
        move = self.pixels.direction(gradient) * (self.settings.step * self.pixels.constraint.radius / 255)
        self.residual = self.pixels.project(self.residual + pace * move)


def scaled(constraint: Constraint, share: float) -> Constraint:
    """A share of a budget, as root mean square where the budget is perceptual."""
    if isinstance(constraint, LinfConstraint):
        return replace(constraint, eps=share * constraint.eps)
    return L2Constraint(share * constraint.radius)
