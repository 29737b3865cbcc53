"""Latent Diffusion Unlearning's parameterisation: the engine's loop and objectives, on shifted trajectories."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

from unlearnable.errors import SetupError, UsageError
from unlearnable.ldu.lagrangian import check
from unlearnable.ldu.phi import once, phi_of
from unlearnable.ldu.shift import COMMAND, Rho
from unlearnable.ldu.trajectory import Course, Route, Trajectory
from unlearnable.models.base import Model
from unlearnable.models.load import EMBEDDED_FOLDER
from unlearnable.protection.constraints import Constraint
from unlearnable.protection.parameterisation import Perturbation, Scene

SHIPPED = EMBEDDED_FOLDER / "ldu" / "rho.safetensors"
CHOICES = {
    "shift": ("free", "network"), "start": ("noise", "zero", "rho"), "optimiser": ("adam", "normalised"),
}  # fmt: skip


@dataclass(frozen=True)
class TrajectoryShift:
    """The start of each picture's denoising trajectory moves (LDU, arXiv 2510.03089).

    `step` times the budget is one step's change. `phi`, `k`, `t_start`, `inversion`, `refine`, `decode`: the way of the
    trajectory, see `trajectory.Route`.
    `shift`: "free" (one for each picture) or "network" (one rho for the group, trained here with Adam at `lr`).
    `start`: "noise", "zero", or "rho", the trained network of the file `rho` (auto: the one that ships).
    `optimiser`: "adam", or "normalised" for gradients of unit length. `rate` is that of the dual ascent.
    `residual`: share of the budget that pixels of their own may use beside the trajectory. `latent`: the objective
    sees the trajectory's end rather than the re-encoded picture, which is cheaper and knows no transforms.
    """

    step: float = 0.1
    start: str = "noise"
    phi: str = "auto"
    k: int = 1
    t_start: float = 0.125
    inversion: int = 10
    refine: int = 0
    decode: str = "difference"
    shift: str = "free"
    rho: str = "auto"
    optimiser: str = "normalised"
    lr: float = 1e-3
    width: int = 32
    rate: float = 0.5
    residual: float = 0.0
    latent: bool = False
    asks_model: ClassVar[bool] = True  # a trained rho moves trajectories without a step

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise UsageError(f"unknown {name} {getattr(self, name)!r}: use one of {', '.join(choices)}")
        if not 0 <= self.residual < 1 or (self.residual and self.latent):
            raise UsageError(f"residual {self.residual:g}: give a share from 0 up to 1, and 0 for the latent variant")
        if self.start == "rho" and self.shift == "network":
            raise UsageError("a network that is trained here cannot start from rho: use shift=free")
        _ = self.route

    @property
    def route(self) -> Route:
        return Route(**{field.name: getattr(self, field.name) for field in fields(Route)})

    def check(self, constraint: Constraint) -> None:
        check(constraint)

    def begin(self, model: Model, scene: Scene, steps: int) -> Perturbation:
        if self.start != "rho":
            return Trajectory(self, Course(self.route, model, scene.prompt), scene, None, steps)
        rho, facts = self._rho(model)
        route, kind = replace(self.route, **facts["route"], phi=self._phi_text(facts)), facts["phi"]
        phi = phi_of(route.phi, model)
        if kind != phi.kind:
            raise UsageError(f"rho was trained with phi {kind!r}, and this is {phi.kind!r}: name the one it knows")
        return Trajectory(self, Course(route, model, facts["prompt"]), scene, rho, steps)

    @property
    def learns(self) -> bool:
        return self.shift == "network"

    def remark(self, model: Model) -> str:
        text = self._phi_text(self._rho(model)[1]) if self.start == "rho" else self.phi
        return f"trajectories are denoised by {phi_of(text, model).describe()}"

    def _phi_text(self, facts: dict[str, Any]) -> str:
        """The phi of a rho's facts: plain DDIM where it was made with that, whatever ships by now."""
        return "ddim" if self.phi == "auto" and facts["phi"] == "ddim" else self.phi

    def _rho(self, model: Model) -> tuple[Rho, dict[str, Any]]:
        if self.rho != "auto":
            return Rho.load(Path(self.rho), model)
        try:
            return once(model, ("rho",), lambda: Rho.load(SHIPPED, model))
        except UsageError as error:
            message = f"no trained rho for {model.name!r} ships: make one with `{COMMAND}` and name it with rho=FILE"
            raise SetupError(message) from error
