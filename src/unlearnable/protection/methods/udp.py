"""UDP: unlearnable noise by a max-min game against a model in training.

Zhao et al., "Unlearnable Examples for Diffusion Models", arXiv 2306.01902:
``max_{|delta| <= eps} min_theta E_{t,eps} L(x + delta; theta)``. Each round the surrogate trains on the protected
pictures, then the ascent moves them; t is uniform. Deviation: the authors' code was never published, so the numbers of
steps are ours: 10 rounds of 10 ascent steps, the surrogate taking 5 ahead of each for a group of pictures, which starts
from the loaded weights, and 50 for a whole data set (`--surrogate scratch` or `checkpoint`; `protection.maxmin`).

Budget: L-inf 8/255. Cost: 150 denoiser passes. For: data sets.
"""

from unlearnable.models.finetune.training import FineTune
from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.game import GameSettings
from unlearnable.protection.objectives import Objective, denoising
from unlearnable.protection.parameterisation import Pixels
from unlearnable.protection.surrogates import Training

IN_TRAINING = Training(before="protected", fit=FineTune(5))
PAPER = Protection(
    "udp", Objective(denoising), LinfConstraint(8), Pixels(1 / 10), surrogate=IN_TRAINING, game=GameSettings(),
    steps=10, rounds=10,
)  # fmt: skip
