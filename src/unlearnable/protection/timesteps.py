"""The distribution p(t) of the times that a protection is optimised at, over the noise schedule.

UDP draws t uniformly. EUDP (Zhao et al., arXiv 2306.01902) draws it from a law made from the schedule, since the
perturbation reaches ``z_t`` scaled by ``sqrt(alpha_bar_t)`` and large t wastes effort. The paper's exact form was not
available to us: the laws below are our reading (docs/results/udp.md has what they did).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unlearnable.errors import UsageError, suggestion
from unlearnable.models.schedule import Schedule
from unlearnable.rng import normal, uniform

MEASURED = "measured"  # `unlearnable.protection.probe`
RATIO_CLIP = 10.0  # sqrt(ab / (1 - ab)) grows without bound as t goes to 0

LAWS: dict[str, Callable[[Tensor], Tensor]] = {
    "uniform": torch.ones_like,
    "sqrt-ab": torch.sqrt,
    "ab": lambda ab: ab,
    "snr": lambda ab: (ab / (1 - ab).clamp_min(1e-12)).sqrt().clamp_max(RATIO_CLIP),
    "ab-1-ab": lambda ab: ab * (1 - ab),
    "ab2-1-ab": lambda ab: ab.square() * (1 - ab),
}


@dataclass(frozen=True)
class TimestepDistribution:
    """p(t) by the name of its `law`, limited to the share `span` of all times, and how a step draws from it.

    `stratified`: each of the draws takes its time from a part of p(t) of its own, so that together they cover it.
    `antithetic`: draws come in pairs of one time and opposite noise, whose odd errors cancel. Neither changes what a
    single draw is distributed as (Owen, Monte Carlo theory, methods and examples, sections 8.2 and 8.4). `search`: each
    picture has the law on those times alone at which its own gradient is large (SimAC; `protection.search`). `paced`:
    steps are ``(1 + cos(pi t / T)) / 2`` as long, least for much noise (DisDiff's merit sampling, arXiv 2405.20584).
    """

    law: str = "uniform"
    span: tuple[float, float] = (0.0, 1.0)
    stratified: bool = False
    antithetic: bool = False
    search: bool = False
    paced: bool = False

    def __post_init__(self) -> None:
        if self.law not in (*LAWS, MEASURED):
            raise UsageError(f"unknown timestep law {self.law!r}: {suggestion(self.law, [*LAWS, MEASURED])}")

    def probabilities(self, schedule: Schedule) -> Tensor:
        """p(t), ``[T]`` float64, summing to one; raises UsageError where the span holds no time."""
        p = probabilities(self.law, schedule)
        inside = torch.zeros_like(p)
        low, high = (round(share * len(p)) for share in self.span)
        inside[low:high] = p[low:high]
        if not inside.sum():
            raise UsageError(
                f"the time span {self.span} holds no time: give two shares between 0 and 1, the lower first"
            )
        return inside / inside.sum()

    def sample(
        self, p: Tensor, keys: Sequence[str], shape: Sequence[int], name: tuple[int, int], i: int, of: int,
        device: torch.device | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Times ``[b]`` and noise ``[b, *shape]`` of the i-th of a step's `of` draws; `name` is (seed, step).

        `p` is p(t) ``[T]``, or each picture's own ``[b T]``.
        """
        t = self._time(p, keys, name, i, of).to(device)
        if not self.antithetic:
            return t, normal(keys, shape, "noise", *name, i, device=device)
        return t, (1 - 2 * (i % 2)) * normal(keys, shape, "noise", *name, i // 2, device=device)

    def pace(
        self, p: Tensor, keys: Sequence[str], name: tuple[int, int], of: int, device: torch.device | None = None
    ) -> Tensor | float:
        """The factor of a step's length, ``[b 1 1 1]`` or 1: the mean over its `of` draws' times."""
        if not self.paced:
            return 1.0
        t = torch.stack([self._time(p, keys, name, i, of) for i in range(of)])
        return ((1 + (torch.pi * t / p.shape[-1]).cos()) / 2).mean(0).view(-1, 1, 1, 1).to(device)

    def _time(self, p: Tensor, keys: Sequence[str], name: tuple[int, int], i: int, of: int) -> Tensor:
        if self.antithetic:
            i, of = i // 2, -(-of // 2)
        return draw(p, keys, "time", *name, i, stratum=(i, of) if self.stratified else (0, 1))


def probabilities(law: str, schedule: Schedule) -> Tensor:
    """p(t), ``[T]`` float64, summing to one; `law` is a key of `LAWS`."""
    if law == MEASURED:
        raise UsageError(f"the law {law!r} is measured on a data set: add --surrogate, or use {', '.join(LAWS)}")
    if law not in LAWS:
        raise UsageError(f"unknown timestep law {law!r}: use one of {', '.join(LAWS)}")
    weight = LAWS[law](schedule.alpha_bar.double().cpu())
    return weight / weight.sum()


def draw(
    p: Tensor, keys: Sequence[str], *name: object, stratum: tuple[int, int] = (0, 1), device: torch.device | None = None
) -> Tensor:
    """One time per key from p(t) ``[T]``, or its own ``[b T]``: ``[b]`` int64, by inverting the distribution function.

    `stratum` (i, n) draws from the i-th of n parts of p(t) that are equally likely.
    """
    u = (stratum[0] + uniform(keys, (), *name).double()) / stratum[1]
    u = u if p.ndim == 1 else u[:, None]
    t = torch.searchsorted(p.cumsum(-1), u, right=True).clamp_max(p.shape[-1] - 1)
    return t.view(-1).to(device)
