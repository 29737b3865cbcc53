"""MetaCloak: against a pool of states of the attacker's training, through what platforms do to pictures.

Liu et al., "MetaCloak: Preventing Unauthorized Subject-driven Text-to-image Diffusion-based Synthesis via
Meta-learning", CVPR 2024, arXiv 2311.13127: states of DreamBooth after 0, 200 .. 1,000 steps; at each, 6 ascent steps
in turn with 2 training steps on the protected pictures, both behind a blur of 7 px, resizing, cropping and mirroring.
11/255, step 1.1. Deviations: the states follow one another, each for 4 turns, where the authors go round the pool (two
models in memory instead of six); the pictures that are protected are those it learns; no prior-preservation pictures.

Budget: L-inf 11/255. Cost: 1,192 denoiser passes. For: fine-tuning.
"""

from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.estimator import Estimator
from unlearnable.protection.objectives import Objective, denoising
from unlearnable.protection.parameterisation import Pixels
from unlearnable.protection.pool import Pool
from unlearnable.protection.transforms import cloaked

PAPER = Protection(
    "metacloak", Objective(denoising), LinfConstraint(11), Pixels(1 / 10), Estimator(transforms=(cloaked,)),
    Pool(transforms=(cloaked,)), steps=6, rounds=24,
)  # fmt: skip
