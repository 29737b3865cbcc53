"""SDS+: score distillation, the denoiser's Jacobian dropped; ascends the loss.

The other sign of `sds` (ICLR 2024, arXiv 2311.12832, eq. 8): AdvDM without the gradient through the U-Net. 16/255,
100 steps of 1/255.

Budget: L-inf 16/255. Cost: 100 denoiser passes. For: style.
"""

from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.objectives import Objective, ScoreDistillation, denoising
from unlearnable.protection.parameterisation import Pixels

PAPER = Protection(
    "sds-plus", Objective(ScoreDistillation(+1), score=denoising), LinfConstraint(16), Pixels(1 / 16), steps=100
)
