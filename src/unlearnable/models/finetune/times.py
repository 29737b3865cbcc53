"""Laws of the time t in training: how noisy the pictures are that a step shows.

Each law is the quantile function of a share of noise in (0, 1): sigma of flow models, t / T of others. `logit-normal`
is Esser et al. (arXiv 2403.03206, section 3.1) with mean 0 and deviation 1; trainers also call it `sigmoid`, as it is
the sigmoid of a normal draw. `shift` is that law moved to more noise, ``s = 3 u / (1 + 2 u)`` (section 5.3.2).
`uniform` draws the schedule's own times evenly, shifted or not.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unlearnable.errors import UsageError, suggestion
from unlearnable.models.schedule import Schedule

UNIFORM, SHIFT = "uniform", 3.0


def logit_normal(u: Tensor) -> Tensor:
    share: Tensor = torch.special.ndtri(u).sigmoid()
    return share


def shifted(u: Tensor) -> Tensor:
    s = logit_normal(u)
    return SHIFT * s / (1 + (SHIFT - 1) * s)


LAWS: dict[str, Callable[[Tensor], Tensor]] = {
    "logit-normal": logit_normal, "sigmoid": logit_normal, "shift": shifted
}  # fmt: skip


def check(law: str) -> None:
    """Raise UsageError for a law that is none."""
    if law != UNIFORM and law not in LAWS:
        raise UsageError(f"unknown law of times {law!r}: {suggestion(law, [UNIFORM, *LAWS])}")


def draw(law: str, schedule: Schedule, count: int, rng: torch.Generator) -> Tensor:
    """Times int64 ``[count]`` of a law, on the CPU."""
    if law == UNIFORM:
        return torch.randint(len(schedule), (count,), generator=rng)
    share = LAWS[law](torch.rand(count, generator=rng, dtype=torch.float64))
    even = torch.arange(1, len(schedule) + 1, dtype=torch.float64) / len(schedule)
    table = schedule.noise.double().cpu() if schedule.prediction == "flow" else even
    return torch.searchsorted(table, share).clamp_max(len(schedule) - 1)
