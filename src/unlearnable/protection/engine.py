"""The only optimisation loop: gradient ascent within a budget, against surrogates that may be in training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from unlearnable import rng
from unlearnable.errors import UnlearnableError, UsageError
from unlearnable.models.base import Model
from unlearnable.protection.against import Others, Shifts, joined
from unlearnable.protection.constraints import Constraint, Linf
from unlearnable.protection.objectives import ITSELF, Batch, Objective, denoising, nothing
from unlearnable.protection.perturbation import Perturbation, Pixels, Scene
from unlearnable.protection.surrogates import Frozen, Surrogate, View
from unlearnable.protection.timesteps import probabilities, sample
from unlearnable.protection.transforms import Transform, pick

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Protection:
    """A protection as settings. Calling it returns protected pictures.

    Each of `rounds` lets the surrogate train, then takes `steps` ascent steps of `step` times the budget, each on the
    mean gradient of `draws` draws of (t, noise, transform). `law` is p(t), limited to the share `span` of all times.
    The draws of a step may be `stratified` in t and come in pairs of opposite noise (`antithetic`).
    `start`: "zero", "uniform" inside the budget, "sign" on its boundary, or "grey" (less colour). `goal` names the
    target picture of a targeted objective. `score` replaces the objective where results are compared (`evaluate`).
    `against` names encoders whose latents are to move as well (`against.Shifts`); with the objective `nothing` they
    alone count, and no model is asked. `side` is the working scale in px where it is not the model's.
    """

    name: str
    objective: Objective = denoising
    constraint: Constraint = field(default_factory=lambda: Linf(8))
    step: float = 0.1
    steps: int = 100
    rounds: int = 1
    draws: int = 1
    start: str = "uniform"
    law: str = "uniform"
    span: tuple[float, float] = (0.0, 1.0)
    stratified: bool = False
    antithetic: bool = False
    goal: str | None = None
    surrogate: Surrogate = field(default_factory=Frozen)
    transforms: tuple[Transform, ...] = ()
    score: Objective | None = None
    against: str = ""
    side: int = 0

    def __call__(
        self,
        model: Model,
        images: Tensor,
        *,
        prompt: str = "",
        target: Tensor | None = None,
        mask: Tensor | None = None,
        seed: int = 0,
        keys: Sequence[str] | None = None,
        callback: Progress | None = None,
    ) -> Tensor:
        """Protect pictures ``[b 3 h w]`` in [0, 1]; the result is of the same shape and within the budget, in float.

        `target` ``[1 3 h w]`` replaces the protection's own; `mask` ``[b 1 h w]`` in [0, 1] is the share of the
        budget a pixel may use, 0 where nothing may change;
        `keys` name the pictures' randomness (default: their content). Raises UnlearnableError on a gradient that is
        not finite. Sealing onto the 8-bit grid is `constraint.seal`, at the size the file will have.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise UsageError(f"pictures of shape {tuple(images.shape)}: give [batch, 3, height, width] in [0, 1]")
        if any(side % model.multiple for side in images.shape[-2:]):
            raise UsageError(f"pictures of {tuple(images.shape[-2:])} px: sides must be multiples of {model.multiple}")
        x = images.to(model.device, torch.float32)
        keys = list(keys) if keys is not None else rng.image_keys(x)
        allowed = torch.ones_like(x[:, :1]) if mask is None else mask.to(x)
        scene = Scene(x, keys, allowed, self.constraint, prompt, seed)
        change = self.begin(model, scene)
        total, done = self.rounds * self.steps, 0
        if not total or not self.constraint.size:
            return x + change.delta
        others = Others(Shifts.of(self.against, model.device), x, self.transforms) if self.against else None
        if self.objective is nothing:
            for done in range(total):
                change.move(others.gradient(change.seen, seed, done) if others else torch.zeros_like(x))
                if callback:
                    callback(done + 1, total)
            return x + change.delta
        with torch.no_grad():
            goal = self._goal(model, x, target)
        state = self.surrogate.begin(model, prompt, seed)
        p = self._law(model)
        for _ in range(self.rounds):
            views = state.before(x, x + change.delta)
            for _ in range(self.steps):
                gradients = [self._gradient(views, change.seen, x.shape[-2:], goal, p, keys, seed, done)]
                if others:
                    gradients.append(others.gradient(change.seen, seed, done))
                change.move(joined(gradients))
                done += 1
                if callback:
                    callback(done, total)
            state.after(x, x + change.delta)
        return x + change.delta

    def begin(self, model: Model, scene: Scene) -> Perturbation:
        """What is moved, before the first step."""
        return Pixels(scene, self.start, self.step)

    @property
    def learns(self) -> bool:
        """Whether something is trained on the pictures of a call, so that they depend on one another."""
        return self.surrogate.learns and bool(self.rounds * self.steps)

    @property
    def asks_model(self) -> bool:
        """Whether a model has a say in the result; not in the controls, nor where encoders alone count."""
        return bool(self.rounds * self.steps) and self.objective is not nothing

    def remark(self, model: Model) -> str:
        """What a user should know about a run with this model, or nothing."""
        return f"{self.name}: against {Shifts.of(self.against, model.device).describe()}" if self.against else ""

    def evaluate(
        self, model: Model, images: Tensor, *, prompt: str = "", target: Tensor | None = None, draws: int = 16
    ) -> Tensor:
        """Mean score per picture ``[b]`` on fixed noise and evenly spread times, with the model as it is.

        `target` is as above; for objectives that compare with the clean pictures, those.
        """
        x = images.to(model.device, torch.float32)
        score, total = self.score or self.objective, torch.zeros(len(x), device=x.device)
        if score is nothing:
            with torch.no_grad():
                return Shifts.of(self.against, model.device)(x, x if target is None else target.to(x))
        with torch.no_grad():
            condition, goal = model.condition([prompt]), self._goal(model, x, target)
            shape = model.latent_shape(*x.shape[-2:])
            for i in range(draws):
                t = torch.full([len(x)], int((i + 0.5) / draws * len(model.schedule)), device=x.device)
                noise = rng.normal([f"draw {i}"], shape, "evaluate", device=x.device).expand(len(x), *shape)
                total += score(model, x, Batch(t, noise, condition, goal)) / draws
        return total

    def _gradient(
        self,
        views: Sequence[View],
        seen: Tensor,
        size: Sequence[int],
        goal: Tensor | None,
        p: Tensor,
        keys: Sequence[str],
        seed: int,
        step: int,
    ) -> Tensor:
        """Of the objective summed over draws and surrogates, at `seen`: pictures of `size` px, transformed or not."""
        x = seen.detach().requires_grad_(True)
        shape = views[0].model.latent_shape(*size)
        for i in range(self.draws):
            name = (seed, step, i)
            t, noise = sample(p, keys, shape, (seed, step), i, self.draws, self.stratified, self.antithetic, x.device)
            for view in views:
                shown = pick(self.transforms, x, rng.plain("transform", *name))
                self.objective(view.model, shown, Batch(t, noise, view.condition, goal)).sum().backward()
        gradient = x.grad
        if gradient is None or not torch.isfinite(gradient).all():
            raise UnlearnableError(f"the gradient of {self.name!r} is not finite at step {step}: use --dtype float32")
        return gradient

    def _goal(self, model: Model, x: Tensor, target: Tensor | None) -> Tensor | None:
        if self.goal is None:
            return None
        if self.goal == ITSELF:
            return model.posterior(x if target is None else target.to(x))
        from unlearnable.protection.target import picture

        wanted = picture(self.goal, x.shape[-2], x.shape[-1]) if target is None else target
        if wanted.shape[-2:] != x.shape[-2:]:
            raise UsageError(
                f"the target is {tuple(wanted.shape[-2:])} px and the pictures {tuple(x.shape[-2:])}: scale it first"
            )
        return model.encode(wanted.to(x)).expand(len(x), -1, -1, -1)

    def _law(self, model: Model) -> Tensor:
        p = probabilities(self.law, model.schedule)
        inside = torch.zeros_like(p)
        low, high = (round(share * len(p)) for share in self.span)
        inside[low:high] = p[low:high]
        if not inside.sum():
            raise UsageError(
                f"the time span {self.span} holds no time: give two shares between 0 and 1, the lower first"
            )
        return inside / inside.sum()
