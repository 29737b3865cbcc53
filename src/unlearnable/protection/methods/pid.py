"""PID: the autoencoder's answer to the picture moves, whatever the prompt.

Li et al., "PID: Prompt-Independent Data Protection Against Latent Diffusion Models", ICML 2024, arXiv 2406.15305:
ascend the squared distance of the posterior's mean and log-variance from those of the clean picture. No denoiser and no
prompt is asked. 0.05 of [0, 1] is 12.75 of 255, 1,000 steps of 1/255. On pixel models, which have no autoencoder, the
picture itself is the code.

Budget: L-inf 12.75/255. Cost: 0 denoiser passes. For: fine-tuning.
"""

from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.objectives import ITSELF, Objective, posterior
from unlearnable.protection.parameterisation import Pixels

PAPER = Protection("pid", Objective(posterior, goal=ITSELF), LinfConstraint(12.75), Pixels(1 / 12.75), steps=1000)
