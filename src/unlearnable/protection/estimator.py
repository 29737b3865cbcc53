"""The stochastic gradient of an objective: its mean over times, noise, transforms and surrogates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from unlearnable import rng
from unlearnable.errors import UnlearnableError
from unlearnable.protection.objectives import Batch, Objective
from unlearnable.protection.surrogates import View
from unlearnable.protection.timesteps import TimestepDistribution
from unlearnable.protection.transforms import Transform, pick


@dataclass(frozen=True)
class Estimator:
    """Each step takes the gradient of `eot_samples` draws of (t, noise, transform), summed.

    Times come from `times`; a draw sees the pictures through one of `transforms` (none: as they are).
    """

    times: TimestepDistribution = field(default_factory=TimestepDistribution)
    eot_samples: int = 1
    transforms: tuple[Transform, ...] = ()

    def gradient(
        self, objective: Objective, views: Sequence[View], seen: Tensor, size: Sequence[int], target: Tensor | None,
        p: Tensor, keys: Sequence[str], seed: int, step: int,
    ) -> Tensor:  # fmt: skip
        """The gradient at `seen`, pictures of `size` px or what stands for them; `p` is p(t), ``[T]`` or ``[b T]``.

        `target` is what the objective compares with (`Objective.target`); `keys`, `seed` and `step` name the draws.
        Raises UnlearnableError where it is not finite.
        """
        x = seen.detach().requires_grad_(True)
        shape = views[0].model.latent_shape(*size)
        for i in range(self.eot_samples):
            t, noise = self.times.sample(p, keys, shape, (seed, step), i, self.eot_samples, x.device)
            for view in views:
                shown = pick(self.transforms, x, rng.plain("transform", seed, step, i))
                objective(view.model, shown, Batch(t, noise, view.condition, target)).sum().backward()
        gradient = x.grad
        if gradient is None or not torch.isfinite(gradient).all():
            raise UnlearnableError(f"the gradient is not finite at step {step}: use --dtype float32")
        return gradient
