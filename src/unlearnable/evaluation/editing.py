"""Whether a protection disturbs an editor: edits of protected pictures against edits of their originals.

The same prompt and noise edit the original, the protected picture, and the random control of the same size. A
protection against editing should bring the edit further from the original's than the control does. Another seed's edit
of the original gives the scale: two edits that have nothing but picture and prompt in common.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unlearnable.evaluation.control import control
from unlearnable.evaluation.material import CONTROL, PROTECTED, small
from unlearnable.evaluation.pairs import Pair
from unlearnable.evaluation.rates import Estimate, estimate
from unlearnable.images import files
from unlearnable.metrics import fidelity
from unlearnable.metrics.features import Features

ANOTHER = "another seed"
Edit = Callable[..., Tensor]  # pictures [n 3 s s] and a `seed` to their edits


@dataclass(frozen=True)
class Judged:
    """How far edits are from the originals' edits: rows ``[n]``, a picture each, by kind and metric.

    `features` names the metric that decides.
    """

    rows: dict[str, dict[str, Tensor]]
    features: str

    @property
    def distances(self) -> dict[str, dict[str, Estimate]]:
        """Means over pictures."""
        return {kind: {name: estimate(values) for name, values in row.items()} for kind, row in self.rows.items()}

    @property
    def over_control(self) -> Estimate:
        """By how much the protected pictures' distance of features is above the control's, paired by picture."""
        return estimate(self.rows[PROTECTED][self.features] - self.rows[CONTROL][self.features])

    @property
    def sentence(self) -> str:
        """The outcome in plain words."""
        over = self.over_control
        if over.low > 0:
            return "Disturbed: edits of the protected pictures end further from the originals' than noise brings them."
        if over.high <= 0:
            return "Not disturbed: random noise of the same size moves the edits as far, or further."
        return "Not shown: more pictures are needed to tell the protection from random noise of the same size."


def twins(pairs: Sequence[Pair], size: int, seed: int) -> dict[str, Tensor]:
    """Clean and protected pictures and random controls at a model's size, ``[n 3 size size]`` each."""
    kinds: dict[str, list[Tensor]] = {"clean": [], PROTECTED: [], CONTROL: []}
    for each in pairs:
        before, after = files.read(each.clean), files.read(each.protected)
        noise = files.Picture(control(before.pixels, after.pixels, size, seed, each.content))
        for images, picture in zip(kinds.values(), (before, after, noise)):
            images.append(small(picture, size))
    return {kind: torch.stack(images) for kind, images in kinds.items()}


def edits(edit: Edit, clean: Tensor, others: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Edits of pictures ``[n 3 s s]``, of their protected and control twins (`others`), and again with another seed."""
    made = {"clean": edit(clean, seed=seed)} | {kind: edit(x, seed=seed) for kind, x in others.items()}
    return made | {ANOTHER: edit(clean, seed=seed + 1)}


def judged(parts: Iterable[Mapping[str, Tensor]], network: Features) -> Judged:
    """Compare `edits`, which come in parts of some pictures each."""
    found, name = [], f"{network.name}-distance"
    for part in parts:
        reference = part["clean"]
        found.append({
            kind: {
                "psnr": fidelity.psnr(made, reference), "ssim": fidelity.ssim(made, reference),
                name: fidelity.features_distance(made, reference, network),
            }
            for kind, made in part.items()
            if kind != "clean"
        })  # fmt: skip
    rows = {
        kind: {metric: torch.cat([part[kind][metric] for part in found]) for metric in row}
        for kind, row in found[0].items()
    }
    return Judged(rows, name)
