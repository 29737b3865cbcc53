"""Whether an attacker learned the subject: losses on held-out photographs, the protection rate, similarity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnable.errors import UsageError
from unlearnable.metrics.base import ATTACK, FEATURES, Score, mean, metric
from unlearnable.metrics.intervals import of_mean, of_ratio

if TYPE_CHECKING:
    from unlearnable.models.base import Model

RATE = "protection-rate"


@metric(ATTACK, higher_is_better=True)
def held_out_loss(model: Model, images: Tensor, prompt: str, draws: int = 16, seed: int = 0) -> Tensor:
    """Denoising loss of clean photographs of the subject that the attacker did not train on, under its model.

    Unit: mean squared error of the model's target. Better for the owner: higher (learned less). Needs: an attacker's
    model and held-out photographs ``[n 3 h w]`` at its size; gives ``[n]``. Times and noise are fixed by `seed`, the
    same for every model and picture, so that differences between models are not differences of luck.
    """
    from unlearnable.models.finetune.training import fixed_losses

    return fixed_losses(model, images, prompt, draws=draws, seed=seed).double().cpu()


@metric(ATTACK, higher_is_better=True)
def protection_rate(clean: Tensor, protected: Tensor, untouched: Tensor, level: float = 0.95) -> Score:
    """Protection rate P = (L_protected - L_clean) / (L_untouched - L_clean), a ratio of means.

    Unit: none; 0: learned as from clean pictures, 1: learned nothing, above 1: knows the subject less than before.
    Better for the owner: higher. Needs: `held_out_loss` ``[n]`` of the same photographs under the attacker trained on
    clean pictures, the one trained on protected pictures, and the model before training. The interval is Fieller's,
    paired by photograph; it says nothing about other attackers or seeds. Undefined (NaN, `note` says why) where
    the attacker did not learn from the clean pictures: the interval of L_untouched - L_clean reaches 0. Source: ours.
    """
    rows = torch.stack([torch.as_tensor(part).double().flatten() for part in _same(clean, protected, untouched)], 1)
    gains = rows[:, 2] - rows[:, 0]
    gain, (least, most) = mean(gains), of_mean(gains, level)
    if gain <= 0 or least <= 0:
        interval = "" if math.isnan(least) else f", interval {least:.3g} to {most:.3g}"
        why = f"undefined: the attacker did not learn the clean pictures (the loss fell by {gain:.3g}{interval})"
        return Score(RATE, torch.tensor([math.nan]), True, bounds=(math.nan, math.nan), note=why)
    bounds = of_ratio(rows[:, 1] - rows[:, 0], gains, level)
    note = "one held-out picture: no interval" if len(rows) == 1 else ""
    return Score(RATE, torch.tensor([_rate(rows)]), True, bounds=bounds, note=note)


def _rate(rows: Tensor) -> float:
    clean, protected, untouched = rows.mean(0).tolist()
    return (protected - clean) / (untouched - clean) if untouched != clean else math.inf


def _same(*parts: Tensor) -> tuple[Tensor, ...]:
    counts = [torch.as_tensor(part).numel() for part in parts]
    if len(set(counts)) > 1 or not counts[0]:
        raise UsageError(f"protection-rate pairs losses of the same pictures, but there are {counts} of them")
    for part in parts:
        if not torch.as_tensor(part).isfinite().all():
            raise UsageError("protection-rate was given losses that are not finite: the attacker's training diverged")
    return parts


@metric(FEATURES, higher_is_better=False)
def similarity(features: Tensor, references: Tensor, centre: Tensor | None = None) -> Tensor:
    """Subject similarity: mean cosine of each generated picture's features to those of all real pictures.

    Unit: cosine, -1 to 1. Better for the owner: lower (the subject is less recognisable). Needs: a feature network.
    Source: DreamBooth's CLIP-I and DINO scores (Ruiz et al. 2023, arXiv 2208.12242, section 4.2) over clip and dinov2.
    `centre` ``[d]``, the mean feature of other pictures, is subtracted first: it spreads the cosines of a weak network,
    whose features share a large common part. ``[n d]`` and ``[m d]`` to ``[n]``.
    """
    if features.ndim != 2 or references.ndim != 2 or not len(references):
        shapes = f"{list(features.shape)} and {list(references.shape)}"
        raise UsageError(f"similarity compares features [n d] with [m d] of one or more pictures, not {shapes}")
    a, b = (F.normalize(part.double() - (0 if centre is None else centre), dim=1) for part in (features, references))
    return (a @ b.T).mean(1)


def rank(features: Tensor, subjects: Mapping[str, Tensor], centre: Tensor | None = None) -> list[tuple[str, float]]:
    """Subjects by mean similarity of generated pictures' features ``[n d]`` to each one's ``[m d]``, closest first.

    The attacker's subject should come first among others of its kind: a cosine alone has no scale.
    """
    means = {name: mean(similarity(features, real, centre)) for name, real in subjects.items()}
    return sorted(means.items(), key=lambda item: -item[1])
