"""Anti-Diffusion: noise in turn with a tuned text code, and attention that lets go of the picture's content.

Zheng et al., "Anti-Diffusion: Preventing Abuse of Modifications of Diffusion-Based Models", AAAI 2025, arXiv
2503.05595: prompt tuning (the text code goes down the loss) in turn with noise that goes up it, less a semantic term,
the squared cross-attention. 6.375/255, step a tenth. Deviations: the term's weight (1, on a mean over places, heads and
layers) and the turns, 50 of 10 tuning and 4 ascent steps, are ours.

Budget: L-inf 6.375/255. Cost: 700 denoiser passes. For: fine-tuning.
"""

from unlearnable.models.watch import cross_attentions
from unlearnable.protection.attention import LessAttention
from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.objectives import Objective
from unlearnable.protection.parameterisation import Pixels
from unlearnable.protection.prompts import TunedText

DISTURBED = Objective(LessAttention(1.0), needs=cross_attentions)
PAPER = Protection(
    "anti-diffusion", DISTURBED, LinfConstraint(6.375), Pixels(1 / 10), surrogate=TunedText(), steps=4, rounds=50
)
