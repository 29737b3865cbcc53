"""A law p(t) by measurement: how strongly the objective pulls at a picture, time by time, on a probe set.

Drawing times in proportion to the gradient's size is the choice of least variance among those that sample t and weigh
the draws back (Owen, Monte Carlo theory, methods and examples, section 9.1); EUDP's ascent takes the sign of what it
drew and does not weigh back, so here the law also decides what is maximised.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unlearnable.protection.objectives import Batch, Objective
from unlearnable.protection.surrogates import View
from unlearnable.rng import normal

BINS = 20


def magnitudes(
    objective: Objective, view: View, pictures: Sequence[Tensor], keys: Sequence[str], seed: int, bins: int = BINS
) -> Tensor:
    """Root mean square of the objective's gradient at pictures ``[1 3 h w]``, mean over them, ``[bins]`` float64.

    The times are the middles of `bins` equal parts of the schedule; each picture has noise of its own at each.
    """
    model, sizes = view.model, torch.zeros(bins, dtype=torch.double)
    t = torch.tensor([middle(b, bins, len(model.schedule)) for b in range(bins)], device=model.device)
    for picture, key in zip(pictures, keys):
        x = picture.to(model.device).expand(bins, -1, -1, -1).contiguous().requires_grad_(True)
        shape = model.latent_shape(*x.shape[-2:])
        noise = torch.cat([normal([key], shape, "probe", seed, b, device=x.device) for b in range(bins)])
        goal = objective.target(model, x.detach())
        (gradient,) = torch.autograd.grad(objective(model, x, Batch(t, noise, view.condition, goal)).sum(), x)
        sizes += gradient.double().square().flatten(1).mean(1).sqrt().cpu() / len(pictures)
    return sizes


def measured(objective: Objective, view: View, pictures: Sequence[Tensor], keys: Sequence[str], seed: int) -> Tensor:
    """p(t) in proportion to `magnitudes`, ``[T]`` float64 summing to one: straight lines between the middles."""
    sizes = magnitudes(objective, view, pictures, keys, seed)
    return interpolated(sizes, len(view.model.schedule))


def interpolated(sizes: Tensor, times: int) -> Tensor:
    """A law over all times from its values at the middles of equal parts; level beyond the first and the last."""
    at = torch.tensor([float(middle(b, len(sizes), times)) for b in range(len(sizes))], dtype=torch.double)
    t = torch.arange(times, dtype=torch.double).clamp(at[0], at[-1])
    right = torch.searchsorted(at, t).clamp(1, len(at) - 1)
    share = (t - at[right - 1]) / (at[right] - at[right - 1])
    p = sizes[right - 1] * (1 - share) + sizes[right] * share
    return p / p.sum()


def middle(b: int, bins: int, times: int) -> int:
    return int((b + 0.5) / bins * times)
