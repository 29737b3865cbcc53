"""What the speed benchmark found, and how it says so."""

from __future__ import annotations

from dataclasses import dataclass

TARGET = 1.10  # the most that a step may take over its bare arithmetic


@dataclass(frozen=True)
class Result:
    """Seconds are medians of one step; `spread` is the interquartile range of the ratios of neighbouring steps."""

    model: str
    pixels: int
    device: str
    threads: int
    dtype: str
    steps: int
    engine_s: float
    bare_s: float
    ratio: float
    spread: tuple[float, float]
    engine_peak_gib: float
    bare_peak_gib: float
    usual_s: float
    usual_ratio: float
    usual_peak_gib: float
    batch: int
    batched_s: float
    singles_s: float


def report(r: Result) -> str:
    verdict = "met" if r.ratio <= TARGET else "MISSED"
    return "\n".join(
        [
            f"{r.model}, {r.pixels} px, {r.dtype}, {r.device}, {r.threads} threads, {r.steps} steps",
            f"  one step      {r.engine_s:9.4f} s   peak {r.engine_peak_gib:6.2f} GiB",
            f"  bare          {r.bare_s:9.4f} s   peak {r.bare_peak_gib:6.2f} GiB",
            f"  ratio         {r.ratio:9.3f}     half of all between {r.spread[0]:.3f} and {r.spread[1]:.3f};"
            f" target {TARGET:.2f} {verdict}",
            f"  usual loop    {r.usual_s:9.4f} s   peak {r.usual_peak_gib:6.2f} GiB   {r.usual_ratio:.2f} of bare"
            " (parameter gradients on)",
            f"  {r.batch} pictures    {r.batched_s:9.4f} s   a step in one run; in {r.batch} runs {r.singles_s:.4f} s",
        ]
    )
