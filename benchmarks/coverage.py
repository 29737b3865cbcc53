"""How often the 95 % intervals of tables and reports hold the truth, by simulation.

    python benchmarks/coverage.py             # about a minute
    python benchmarks/coverage.py --rounds 4000

Rows: Student's t of a mean (normal and skewed rows), Fieller of a ratio of means (also crossed with seeds), the
difference of two methods, and the worst case over seven countermeasures, cross-fitted, whose bias is printed too.
"""

import argparse
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from unlearnable.bench.sums import least, ratio, widening
from unlearnable.metrics.intervals import Interval, of_difference, of_mean, of_ratio

COUNTS = (2, 3, 4, 6, 8, 12, 20)
CELLS = 7  # countermeasures
NOISE = 0.2  # of a subject's gain, in each cell


def inside(truth: float, intervals: Iterable[Interval]) -> float:
    """The share of intervals that hold the truth; one that is not given holds nothing and counts nowhere."""
    known = [low <= truth <= high for low, high in intervals if low == low]
    return sum(known) / max(1, len(known))


def normal_mean(rng: torch.Generator, n: int) -> tuple[float, Interval]:
    return 0.0, of_mean(torch.randn(n, generator=rng))


def skewed_mean(rng: torch.Generator, n: int) -> tuple[float, Interval]:
    """A difference of two exponential losses, a third of the one taken away: skewed, with heavy tails."""
    draws = torch.empty(2, n).exponential_(generator=rng)
    return 0.7, of_mean(draws[0] - 0.3 * draws[1])


def subjects(rng: torch.Generator, n: int, truth: float, seeds: int = 1, cells: int = 1) -> tuple[Tensor, Tensor]:
    """What is left of a gain and the gain, ``[seeds, n, cells]``: gains between 0.5 and 1.5, noise in every cell."""
    whole = (0.5 + torch.rand(1, n, 1, generator=rng)).expand(seeds, n, cells).double()
    own = NOISE * torch.randn(1, n, 1, generator=rng)
    drift = NOISE / 2 * torch.randn(seeds, 1, 1, generator=rng) if seeds > 1 else 0.0
    noise = own + drift + NOISE * torch.randn(seeds, n, cells, generator=rng)
    return truth * whole + noise, whole


def one_ratio(rng: torch.Generator, n: int) -> tuple[float, Interval]:
    part, whole = subjects(rng, n, 0.3)
    return 0.3, of_ratio(part[0, :, 0], whole[0, :, 0] + 0.1 * torch.randn(n, generator=rng))


def crossed(rng: torch.Generator, n: int) -> tuple[float, Interval]:
    part, whole = subjects(rng, n, 0.3, seeds=3)
    return 0.3, of_ratio(part[..., 0], whole[..., 0])


def difference(rng: torch.Generator, n: int) -> tuple[float, Interval]:
    first, second = (subjects(rng, n, truth) for truth in (0.5, 0.3))
    one, other = ((part[0, :, 0], whole[0, :, 0]) for part, whole in (first, second))
    return 0.2, of_difference(one, other)


def worst_case(truth: float) -> Callable[[torch.Generator, int], tuple[float, Interval]]:
    def draw(rng: torch.Generator, n: int) -> tuple[float, Interval]:
        part, whole = subjects(rng, n, truth, cells=CELLS)
        found = ratio(*least(part[0], whole[0]), widen=widening(part[0]))
        biases.append(found.value - truth)
        return truth, (found.low, found.high)

    return draw


biases: list[float] = []
CASES: dict[str, Callable[[torch.Generator, int], tuple[float, Interval]]] = {
    "mean, normal rows": normal_mean,
    "mean, skewed rows": skewed_mean,
    "ratio of means": one_ratio,
    "ratio of means, 3 seeds": crossed,
    "difference of two methods": difference,
    "worst case, truth 0 %": worst_case(0.0),
    "worst case, truth 30 %": worst_case(0.3),
}  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000)
    args = parser.parse_args()
    print(f"{'coverage, %, of 95 % intervals; rows:':36}" + "".join(f"{n:8}" for n in COUNTS))
    for name, case in CASES.items():
        shares, shifts = [], []
        for n in COUNTS:
            rng = torch.Generator().manual_seed(n)
            biases.clear()
            made = [case(rng, n) for _ in range(args.rounds)]
            shares.append(inside(made[0][0], (interval for _, interval in made)))
            shifts.append(100 * sum(biases) / len(biases) if biases else 0.0)
        print(f"{name:36}" + "".join(f"{100 * share:8.1f}" for share in shares), flush=True)
        if any(shifts):
            print(f"{'  bias, points':36}" + "".join(f"{shift:8.2f}" for shift in shifts), flush=True)


if __name__ == "__main__":
    main()
