"""Whether a protection disturbs an editor: edits of protected pictures against edits of their originals.

The same prompt and noise edit the original, the protected picture, and the random control of the same size. A
protection against editing should bring the edit further from the original's than the control does. Another seed's edit
of the original gives the scale: two edits that have nothing but picture and prompt in common.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from unlearnable.evaluation.material import CONTROL, PROTECTED
from unlearnable.evaluation.rates import Estimate, estimate
from unlearnable.metrics import fidelity
from unlearnable.metrics.features import Features

ANOTHER = "another seed"
Edit = Callable[[Tensor, int], Tensor]  # pictures [n 3 s s] and a seed to their edits


@dataclass(frozen=True)
class Judged:
    """Distances of edits from the originals' edits, by kind and metric, and the edits ``[n 3 s s]`` by kind.

    `over_control` is by how much the features' distance of the protected pictures' edits is above the control's, paired
    by picture.
    """

    distances: dict[str, dict[str, Estimate]]
    over_control: Estimate
    edits: dict[str, Tensor]

    @property
    def sentence(self) -> str:
        """The outcome in plain words."""
        low, high = self.over_control.low, self.over_control.high
        if low > 0:
            return "Disturbed: edits of the protected pictures end further from the originals' than noise brings them."
        if high <= 0:
            return "Not disturbed: random noise of the same size moves the edits as far, or further."
        return "Not shown: more pictures are needed to tell the protection from random noise of the same size."


def judged(edit: Edit, clean: Tensor, others: Mapping[str, Tensor], seed: int, network: Features) -> Judged:
    """Edit pictures ``[n 3 s s]`` and their protected and control twins (`others`), and compare what comes out."""
    edits = {"clean": edit(clean, seed)} | {kind: edit(x, seed) for kind, x in others.items()}
    edits[ANOTHER] = edit(clean, seed + 1)
    reference = edits["clean"]
    name = f"{network.name}-distance"
    rows = {
        kind: {
            "psnr": fidelity.psnr(made, reference), "ssim": fidelity.ssim(made, reference),
            name: fidelity.features_distance(made, reference, network),
        }
        for kind, made in edits.items()
        if kind != "clean"
    }  # fmt: skip
    over = estimate(rows[PROTECTED][name] - rows[CONTROL][name])
    return Judged({kind: {k: estimate(v) for k, v in row.items()} for kind, row in rows.items()}, over, edits)
