"""Mist: semantic and textural loss together.

Liang and Wu, "Mist: Towards Improved Adversarial Examples for Diffusion Models", arXiv 2305.12683, eq. 5: ascend
``w L(x) - ||E(x) - E(target)||^2`` towards a high-contrast repeating pattern. Version 1: 16/255, 100 steps of 1/255
(version 2 uses 4/255: give ``--eps 4``). The authors weigh summed squares with 1e4; ours are means per element, where a
weight of 1 gives the two terms comparable gradients. Deviation: the pattern is our own, not the authors' picture.

Budget: L-inf 16/255. Cost: 100 denoiser passes. For: style.
"""

from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.objectives import Mist, Objective
from unlearnable.protection.parameterisation import Pixels

PAPER = Protection("mist", Objective(Mist(), goal="pattern"), LinfConstraint(16), Pixels(1 / 16), steps=100)
