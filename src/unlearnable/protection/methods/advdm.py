"""AdvDM: raise the denoising loss of the picture under a frozen model.

Liang et al., "Adversarial Example Does Good", ICML 2023, arXiv 2302.04578, algorithm 1: Monte-Carlo ascent on
``E_{t,eps} ||eps_theta(z_t, t, c) - eps||^2`` with sign steps.
The paper's 16/255 counts 8-bit levels, 100 steps of 1/255. Deviation: none known.

Budget: L-inf 16/255. Cost: 100 denoiser passes. For: fine-tuning.
"""

from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.objectives import Objective, denoising
from unlearnable.protection.parameterisation import Pixels

PAPER = Protection("advdm", Objective(denoising), LinfConstraint(16), Pixels(1 / 16), steps=100)
