"""A protection is composed: an objective, what is moved, how its gradient is estimated, a budget, and a surrogate.

`Protection.__call__` is the only optimisation loop: gradient ascent within a budget, against surrogates that may be in
training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from unlearnable import rng
from unlearnable.errors import UsageError
from unlearnable.models.base import Model, in_latents
from unlearnable.protection.against import Against
from unlearnable.protection.constraints import Constraint, LinfConstraint
from unlearnable.protection.estimator import Estimator
from unlearnable.protection.game import GameSettings
from unlearnable.protection.objectives import Batch, Objective, denoising
from unlearnable.protection.parameterisation import Parameterisation, Perturbation, Pixels, Scene
from unlearnable.protection.search import searched
from unlearnable.protection.surrogates import Frozen, Still, Surrogate, View, view

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Protection:
    """A protection as settings. Calling it returns protected pictures.

    Each of `rounds` lets the surrogate train, then takes `steps` ascent steps on the mean gradient that the `estimator`
    gives of the `objective`, asked through the surrogate's models. `against` adds encoders whose latents are to move as
    well; with the objective None they alone count, and no model is asked. `side` is the working scale in px where it is
    not the model's. `game` is for whole data sets (`protection.maxmin`). `adjust.adjusted` changes any setting by name.
    """

    name: str
    objective: Objective | None = field(default_factory=lambda: Objective(denoising))
    constraint: Constraint = field(default_factory=lambda: LinfConstraint(8))
    parameterisation: Parameterisation = field(default_factory=Pixels)
    estimator: Estimator = field(default_factory=Estimator)
    surrogate: Surrogate = field(default_factory=Frozen)
    against: Against | None = None
    game: GameSettings | None = None
    steps: int = 100
    rounds: int = 1
    side: int = 0

    def __post_init__(self) -> None:
        if self.objective is not None and not isinstance(self.objective, Objective):
            named = getattr(self.objective, "__name__", self.objective)
            raise UsageError(f"the objective of {self.name!r} is {named}: wrap the function, as in Objective({named})")
        self.parameterisation.check(self.constraint)
        if self.against and self.parameterisation.latent:
            raise UsageError(f"encoders ({self.against.encoders}) see pictures, not latents: use latent=false")

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

        `target` ``[1 3 h w]`` replaces the protection's own; `mask` ``[b 1 h w]`` is 0 where nothing may change; `keys`
        name the pictures' randomness (default: their content). Raises UnlearnableError on a gradient that is not
        finite. Sealing onto the 8-bit grid is `constraint.seal`, at the size the file will have.
        """
        scene = self.scene(model, images, prompt, mask, seed, keys)
        x, total, step = scene.x, self.rounds * self.steps, 0
        change = self.parameterisation.begin(model, scene, self.steps)
        if not total or not self.constraint.radius:
            return x + change.delta
        gradient = self._gradient(model, scene, target)
        state = self.surrogate.begin(model, prompt, seed) if self.objective else Still()
        for _ in range(self.rounds):
            views = state.before(x, x + change.delta)
            for _ in range(self.steps):
                change.move(*gradient(views, change, step))
                step += 1
                if callback:
                    callback(step, total)
            state.after(x, x + change.delta)
        return x + change.delta

    def scene(
        self, model: Model, images: Tensor, prompt: str, mask: Tensor | None, seed: int, keys: Sequence[str] | None
    ) -> Scene:
        """Pictures on the model's device and what may be done to them; raises UsageError for shapes that do not fit."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise UsageError(f"pictures of shape {tuple(images.shape)}: give [batch, 3, height, width] in [0, 1]")
        if any(side % model.multiple for side in images.shape[-2:]):
            raise UsageError(f"pictures of {tuple(images.shape[-2:])} px: sides must be multiples of {model.multiple}")
        x = images.to(model.device, torch.float32)
        mask = torch.ones_like(x[:, :1]) if mask is None else mask.to(x)
        return Scene(x, list(keys) if keys is not None else rng.image_keys(x), mask, self.constraint, prompt, seed)

    def _gradient(
        self, model: Model, scene: Scene, target: Tensor | None
    ) -> Callable[[Sequence[View], Perturbation, int], tuple[Tensor, Tensor | float]]:
        """The step's direction and pace: of the objective's gradient, the encoders', or both."""
        x, estimator, latent = scene.x, self.estimator, self.parameterisation.latent
        objective = self.objective.prepared(model, scene.prompt) if self.objective else None
        times, named = estimator.times, (scene.keys, scene.seed)
        encoders = self.against.begin(x, estimator.transforms) if self.against else None
        if latent:
            estimator = replace(estimator, transforms=())
        with torch.no_grad():
            goal = objective.target(model, x, target) if objective else None
            p = times.probabilities(model.schedule) if objective else torch.empty(0)
        if objective and times.search:
            p = searched(objective, view(model, scene.prompt), scene, p, goal)

        def gradient(views: Sequence[View], change: Perturbation, step: int) -> tuple[Tensor, Tensor | float]:
            seen, gradients = change.seen, []
            pace: Tensor | float = 1.0
            if objective:
                if latent:
                    views = [View(in_latents(view.model), view.condition) for view in views]
                gradients.append(estimator.gradient(objective, views, seen, x.shape[-2:], goal, p, *named, step))
                pace = times.pace(p, scene.keys, (scene.seed, step), estimator.eot_samples, x.device)
            if encoders:
                gradients.append(encoders.gradient(seen, scene.seed, step))
            return joined(gradients) if gradients else torch.zeros_like(x), pace

        return gradient

    @property
    def learns(self) -> bool:
        """Whether something is trained on the pictures of a call, so that they depend on one another."""
        return self.parameterisation.learns or (self.surrogate.learns and bool(self.rounds * self.steps))

    @property
    def asks_model(self) -> bool:
        """Whether the result depends on the model: not for the controls, nor where encoders alone count."""
        return self.parameterisation.asks_model or (bool(self.rounds * self.steps) and self.objective is not None)

    def remark(self, model: Model) -> str:
        """A sentence for the user about a run with this model, or an empty one."""
        remarks = [self.parameterisation.remark(model), self.against.describe(model.device) if self.against else ""]
        return f"{self.name}: {'; '.join(filter(None, remarks))}" if any(remarks) else ""

    def evaluate(
        self, model: Model, images: Tensor, *, prompt: str = "", target: Tensor | None = None, draws: int = 16
    ) -> Tensor:
        """Mean score per picture ``[b]`` on fixed noise and evenly spread times, with the model as it is.

        `target` is as above; for objectives that compare with the clean pictures, those.
        """
        x = images.to(model.device, torch.float32)
        with torch.no_grad():
            if self.objective is None:
                against = self.against or Against()
                return against.score(x, x if target is None else target.to(x))
            objective, total = self.objective.prepared(model, prompt), torch.zeros(len(x), device=x.device)
            score = objective.score or objective
            condition, goal = model.condition([prompt]), objective.target(model, x, target)
            shape = model.latent_shape(*x.shape[-2:])
            for i in range(draws):
                t = torch.full([len(x)], int((i + 0.5) / draws * len(model.schedule)), device=x.device)
                noise = rng.normal([f"draw {i}"], shape, "evaluate", device=x.device).expand(len(x), *shape)
                total += score(model, x, Batch(t, noise, condition, goal)) / draws
        return total


def joined(gradients: Sequence[Tensor]) -> Tensor:
    """Gradients ``[b 3 h w]`` of objectives in different units, each at unit length for each picture, summed."""
    if len(gradients) == 1:
        return gradients[0]
    return torch.stack([g / g.flatten(1).norm(dim=1).clamp_min(1e-20).view(-1, 1, 1, 1) for g in gradients]).sum(0)
