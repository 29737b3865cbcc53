"""How long encoding, decoding and one protection step take on this machine, at 128 and 512 px."""

import time
from collections.abc import Callable

import torch

from unlearnable import load_model
from unlearnable.models.base import Model
from unlearnable.protection.adjust import adjusted
from unlearnable.protection.methods import advdm


def milliseconds(repeats: int, work: Callable, *arguments: object) -> float:
    """Median wall time of `repeats` calls, after one to warm up."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        work(*arguments)
        times.append(1000 * (time.perf_counter() - began))
    return sorted(times[1:])[repeats // 2]


def ascend(model: Model, x: torch.Tensor, steps: int) -> None:
    """AdvDM steps: encoder, denoiser, and the gradient with respect to the picture."""
    adjusted(advdm.PAPER, rounds=1, steps=steps)(model, x, prompt="a photo")


def speed_figures(folder: str, device: str) -> dict[str, float]:
    """Milliseconds a picture, one picture at a time, medians of 9; a step is one AdvDM step."""
    model = load_model(folder, device=device)
    figures = {}
    for side in (128, 512):
        x = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(model.device)
        with torch.no_grad():
            z = model.encode(x)
            figures[f"encode {side} px, ms"] = milliseconds(9, model.encode, x)
            figures[f"decode {side} px, ms"] = milliseconds(9, model.decode, z)
        few, many = (milliseconds(3, ascend, model, x, steps) for steps in (2, 10))
        figures[f"one protection step {side} px, ms"] = (many - few) / 8
    return figures
