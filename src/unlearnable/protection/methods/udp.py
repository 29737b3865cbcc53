"""UDP: unlearnable noise by a max-min game against a model in training.

Zhao et al., "Unlearnable Examples for Diffusion Models", arXiv 2306.01902:
``max_{|delta| <= eps} min_theta E_{t,eps} L(x + delta; theta)``. Each round the surrogate trains on the protected
pictures, then the ascent moves them; t is uniform. Deviation: the authors' code was never published, so the numbers of
steps are ours (10 rounds of 5 and 10); this preset starts from the loaded weights.
"""

from unlearnable.models.training import FineTune
from unlearnable.protection.constraints import Linf
from unlearnable.protection.engine import Protection
from unlearnable.protection.objectives import denoising
from unlearnable.protection.surrogates import Training

GAME = Training(before="protected", fit=FineTune(5))
PAPER = Protection("udp", denoising, Linf(8), step=1 / 10, steps=10, rounds=10, surrogate=GAME)
