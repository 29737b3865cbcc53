"""DisDiff: ASPL that also erases the subject's word from the model's attention, in long steps where noise is little.

Liu et al., "Disrupting Diffusion: Token-Level Attention Erasure Attack against Diffusion-based Customization", ACM MM
2024, arXiv 2405.20584: the loss plus 0.1 times an erasing term, the squared cross-attention to the subject's word,
which falls (CAE), and steps of ``(1 + cos(pi t / T)) / 2`` times their length (merit sampling, ``paced=true`` for any
method). 6.375/255, step a tenth, 50 rounds of 3 training and 6 ascent steps. Deviations: those of `aspl`; the attention
of all layers counts alike. The word is `sks`; in a prompt without it all words are the subject's.

Budget: L-inf 6.375/255. Cost: 600 denoiser passes. For: fine-tuning.
"""

from unlearnable.models.watch import cross_attentions
from unlearnable.protection.attention import LessAttention
from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.estimator import Estimator
from unlearnable.protection.objectives import Objective
from unlearnable.protection.parameterisation import Pixels
from unlearnable.protection.surrogates import ALTERNATING
from unlearnable.protection.timesteps import TimestepDistribution

ERASING = Objective(LessAttention(0.1, word="sks", summed=True), needs=cross_attentions)
PAPER = Protection(
    "disdiff", ERASING, LinfConstraint(6.375), Pixels(1 / 10), Estimator(TimestepDistribution(paced=True)),
    surrogate=ALTERNATING, steps=6, rounds=50,
)  # fmt: skip
