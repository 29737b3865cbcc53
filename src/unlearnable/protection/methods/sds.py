"""SDS: score distillation, the denoiser's Jacobian dropped; descends the loss, as its paper prefers.

Xue et al., "Toward effective protection against diffusion-based mimicry through score distillation", ICLR 2024,
arXiv 2311.12832, eq. 8 and 9: step along ``(eps_theta(z_t) - eps) dz/dx``, which needs no gradient through the U-Net.
This is the "minus" variant (SDS-, smooths details); `sds-plus` ascends.
16/255, 100 steps of 1/255. Deviation: none known.

Budget: L-inf 16/255. Cost: 100 denoiser passes. For: style.
"""

from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.objectives import Objective, ScoreDistillation, negative
from unlearnable.protection.parameterisation import Pixels

PAPER = Protection(
    "sds", Objective(ScoreDistillation(-1), score=negative), LinfConstraint(16), Pixels(1 / 16), steps=100
)
