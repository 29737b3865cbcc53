"""PAP: against prompts drawn around the one that fits the pictures best, so that none need be guessed.

Wan et al., "Prompt-Agnostic Adversarial Perturbation for Customized Diffusion Models", NeurIPS 2024, arXiv 2408.10571:
the distribution of text codes given the pictures is a Gaussian around the code of least loss, which is hardest to
protect against (Laplace approximation); each step ascends the expected loss by a code drawn from it. 6.375/255, step a
tenth. Deviations: the Hessian is one number, measured from the prompt's own code (`protection.prompts`); 20 steps of
tuning and 100 of ascent are ours, the authors' scripts alternate 5 and 10; the surrogate does not learn besides.

Budget: L-inf 6.375/255. Cost: 120 denoiser passes. For: fine-tuning.
"""

from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.objectives import Objective, denoising
from unlearnable.protection.parameterisation import Pixels
from unlearnable.protection.prompts import TunedText, readable

AROUND = TunedText(tune=20, drawn=True)
ANY_PROMPT = Objective(denoising, needs=readable)
PAPER = Protection("pap", ANY_PROMPT, LinfConstraint(6.375), Pixels(1 / 10), surrogate=AROUND, steps=1, rounds=100)
