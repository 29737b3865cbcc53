"""The shortcut loss, for any network of any family: pictures and points of the plane alike.

Frans et al., "One Step Diffusion via Shortcut Models", arXiv 2410.12557. A network gets its jump size d besides t:
``d = T / 2^h`` for whole `halvings` h of the trajectory, and d -> 0 (one halving more than the finest) means an
ordinary network. The paper has flows only; written with `jump`, its self-consistency serves eps and v as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from unlearnable.models.invert import coefficients, descent
from unlearnable.models.schedule import Schedule

Network = Callable[[Tensor, Tensor, Tensor], Tensor]  # (z_t, t, halvings) -> out
MOST = 7  # halvings: 128 steps, as in the paper
CLIP = 4.0  # of targets, which latents of unit variance hardly reach; early teachers may answer anything


def finest(schedule: Schedule) -> int:
    """Most halvings a jump is trained at: its middle must still be a time of the schedule."""
    return min(MOST, int(math.log2(len(schedule))) - 1)


def halvings(schedule: Schedule, t: int, s: int) -> float:
    """The number of halvings that give the jump from `t` to `s`; a whole number on the grid."""
    return math.log2(len(schedule) / (t - s))


def jumps(schedule: Schedule) -> Tensor:
    """Every jump of the grid, ``[2^(finest + 1) - 1, 4]``: halvings, from, middle and to."""
    rows = []
    for h in range(finest(schedule) + 1):
        times = descent(schedule, 2 ** (h + 1))
        rows += [(h, *times[2 * i : 2 * i + 3]) for i in range(2**h)]
    return torch.tensor(rows)


def sample_jumps(table: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """`count` rows of `jumps`: every jump size equally likely, and every jump of that size."""
    sizes = torch.randint(int(table[-1, 0]) + 1, (count,), generator=rng)
    offsets = (torch.rand(count, generator=rng) * 2**sizes).long()
    return table[2**sizes - 1 + offsets]


@torch.no_grad()
def consistency_target(schedule: Schedule, teacher: Network, z_t: Tensor, chosen: Tensor) -> Tensor:
    """The answer at ``z_t`` with which one jump lands where two half jumps of the teacher do.

    Section 3.2, equation 4, for any prediction: `jump` is linear in the answer, so the answer follows from its end.
    """
    h, t, middle, s = chosen.unbind(1)
    z_m = schedule.jump(z_t, t, middle, teacher(z_t, t, h + 1))
    z_s = schedule.jump(z_m, middle, s, teacher(z_m, middle, h + 1))
    a, b = coefficients(schedule, t, s, z_t)
    return ((z_s - a * z_t) / b).clamp(-CLIP, CLIP)


def shortcut_loss(
    schedule: Schedule, student: Network, teacher: Network, z: Tensor, noise: Tensor, t: Tensor, chosen: Tensor
) -> Tensor:
    """Loss of each row ``[b]`` of clean latents `z` ``[b, ...]``.

    The first ``len(chosen)`` rows learn self-consistency over those jumps, their times replacing `t`; the others learn
    to denoise at `t` as they would anyway. `teacher` (a running average of the student) sees the first rows only.
    """
    count, ordinary = len(chosen), finest(schedule) + 1
    t = torch.cat([chosen[:, 1], t[count:]])
    h = torch.cat([chosen[:, 0], torch.full_like(t[count:], ordinary)])
    z_t, target = schedule.noised(z, noise, t), schedule.target(z, noise, t)
    if count:
        target = torch.cat([consistency_target(schedule, teacher, z_t[:count], chosen), target[count:]])
    return (student(z_t, t, h) - target).square().flatten(1).mean(1)
