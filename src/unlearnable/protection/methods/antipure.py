"""AntiPure: what a diffusion purifier would remove stays, so that the picture is still protected behind it.

Yang et al., "Towards Robust Defense against Customization via Protective Perturbation Resistant to Diffusion-based
Purification", ICCV 2025, arXiv 2509.13922: the loss with two guidances at the purifier's times, one that keeps the
higher frequencies of each patch as they are, one that has the denoiser answer as at a wrong time. Deviations: our
reading of both (`protection.purifying`), whose formulas, weights and budget were not available to us; 8/255, step a
tenth, 100 steps and the first fifth of the schedule are ours. The purifier is the model at hand, where theirs works on
pixels.

Budget: L-inf 8/255. Cost: 200 denoiser passes. For: fine-tuning.
"""

from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.estimator import Estimator
from unlearnable.protection.objectives import Objective
from unlearnable.protection.parameterisation import Pixels
from unlearnable.protection.purifying import Unpurified
from unlearnable.protection.timesteps import TimestepDistribution

PURIFIERS_TIMES = Estimator(TimestepDistribution(span=(0.0, 0.2)))
PAPER = Protection("antipure", Objective(Unpurified()), LinfConstraint(8), Pixels(1 / 10), PURIFIERS_TIMES, steps=100)
