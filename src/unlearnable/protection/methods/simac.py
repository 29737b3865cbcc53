"""SimAC: ASPL at the times where each picture's own gradient is large, and away in the denoiser's features.

Wang et al., "SimAC: A Simple Anti-Customization Method for Protecting Face Privacy against Text-to-Image Synthesis of
Diffusion Models", CVPR 2024, arXiv 2312.07865: a search leaves the times S (algorithm 1, here `protection.search`,
which ``search=true`` gives any method), then Anti-DreamBooth's ASPL with t uniform on S and a feature term, the
distance of the last up-block's residual outputs from the clean picture's. 6.375/255, step a tenth, 50 rounds of 3
training and 6 ascent steps. Deviations: those of `aspl`; the feature term is a mean per element of weight 1,
differentiated, and counts in the search as well.

Budget: L-inf 6.375/255. Cost: 1,220 denoiser passes. For: fine-tuning.
"""

from unlearnable.models.watch import last_resnets
from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.estimator import Estimator
from unlearnable.protection.features import FeatureShift
from unlearnable.protection.objectives import LATENTS, Objective
from unlearnable.protection.parameterisation import Pixels
from unlearnable.protection.surrogates import ALTERNATING
from unlearnable.protection.timesteps import TimestepDistribution

FEATURES = Objective(FeatureShift(), goal=LATENTS, needs=last_resnets)
PAPER = Protection(
    "simac", FEATURES, LinfConstraint(6.375), Pixels(1 / 10), Estimator(TimestepDistribution(search=True)),
    surrogate=ALTERNATING, steps=6, rounds=50,
)  # fmt: skip
