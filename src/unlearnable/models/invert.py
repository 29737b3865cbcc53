"""Up and down the denoising trajectory: deterministic inversion, and denoising that gradients pass through.

Both go along the same descending `times` (the last one is usually `CLEAN`), so that one undoes the other. A move is
linear in the latent and in the network's answer, ``z_s = A z_t + B out(z_t, t)``, whatever the network predicts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from unlearnable.models.base import Condition, Model
from unlearnable.models.schedule import CLEAN, Schedule

Step = Callable[[Model, Tensor, int, int, Condition], Tensor]  # (model, z_t, t, s, c) -> z_s


def descent(schedule: Schedule, steps: int, top: int | None = None) -> list[int]:
    """`steps` evenly spaced times from `top` (default: the noisiest) down, then `CLEAN`."""
    return [*schedule.spaced(steps, top), CLEAN]


def coefficients(schedule: Schedule, t: Tensor, s: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """A and B of ``jump(z_t, t, s, out) = A z_t + B out``, shaped to multiply `like` ``[b, ...]``."""
    one = like.new_ones([len(t)] + [1] * (like.ndim - 1))
    zero = torch.zeros_like(one)
    return schedule.jump(one, t, s, zero), schedule.jump(zero, t, s, one)


def ddim(model: Model, z: Tensor, t: int, s: int, c: Condition) -> Tensor:
    """One deterministic move of the model itself: DDIM with eta = 0, or an Euler step of the flow."""
    start, end = at(z, t), at(z, s)
    return model.jump(z, start, end, model.predict(z, start, c))


def rise(model: Model, z: Tensor, s: int, t: int, c: Condition) -> Tensor:
    """One deterministic move up from time `s` to `t`, by the network's answer at its lower end.

    DDIM inversion (Dhariwal and Nichol, arXiv 2105.05233, appendix F). A network knows no time without noise: the least
    noisy one stands in for it.
    """
    low = at(z, s)
    return model.jump(z, low, at(z, t), model.predict(z, low.clamp_min(0), c))


def denoise(model: Model, z: Tensor, c: Condition, times: Sequence[int], step: Step = ddim) -> Tensor:
    """Latents ``[b, ...]`` at ``times[0]`` brought to ``times[-1]``, one `step` (`rise`: up) for each pair of times.

    Differentiable through all steps. Activations are not kept but computed again in the backward pass, one step at a
    time, so k steps take the memory of one.
    """
    for t, s in pairwise(times):
        if torch.is_grad_enabled():
            z = checkpoint(step, model, z, t, s, c, use_reentrant=False, preserve_rng_state=False)
        else:
            z = step(model, z, t, s, c)
    return z


@torch.no_grad()
def invert(model: Model, z: Tensor, c: Condition, times: Sequence[int], refine: int = 0) -> Tensor:
    """Latents ``[b, ...]`` at ``times[-1]`` brought up to ``times[0]``, such that `denoise` along `times` undoes it.

    Without refinement each move is a `rise`, exact for small moves only. Each of `refine` more evaluations a move is a
    fixed-point iteration of the implicit equation that makes it exact: the move down from the result lands where the
    move up began (AIDI, Pan et al., arXiv 2309.04907; Meiri et al., arXiv 2312.12540).
    """
    for s, t in pairwise(reversed(times)):
        z = refined(model, rise(model, z, s, t, c), z, at(z, t), at(z, s), c, refine)
    return z


def refined(model: Model, guess: Tensor, goal: Tensor, t: Tensor, s: Tensor, c: Condition, rounds: int) -> Tensor:
    """Fixed-point iterations towards the latent at `t` whose move to `s` is `goal`.

    The iteration need not contract: a picture whose error grew goes back to its last better value and stays there.
    """
    a, b = coefficients(model.schedule, t, s, goal)
    best, least = guess, torch.full([len(goal)], torch.inf, device=goal.device)
    for _ in range(rounds):
        miss = a * guess + b * model.predict(guess, t, c) - goal
        error = miss.square().flatten(1).sum(1)
        better = (error < least).view(-1, *[1] * (goal.ndim - 1))
        best, least = torch.where(better, guess, best), torch.minimum(error, least)
        guess = torch.where(better, guess - miss / a, best)
    return guess


def at(z: Tensor, t: int) -> Tensor:
    """The time `t` for each row of `z`."""
    return torch.full([len(z)], t, device=z.device, dtype=torch.int64)
