"""ACE: every answer of the denoiser is drawn to one pattern, against a LoRA in training.

Zheng et al., "Targeted Attack Improves Protection against Unauthorized Diffusion Customization", arXiv 2310.04687,
eq. 6: minimise ``||eps_theta(z_t) - z_target||^2`` over all t, the surrogate a LoRA trained in turn on the protected
pictures. 4/255. Deviations: our own pattern as the target; 10 rounds of 5 LoRA and 10 ascent steps.

Budget: L-inf 4/255. Cost: 150 denoiser passes. For: fine-tuning.
"""

from unlearnable.models.finetune.training import FineTune
from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.objectives import Objective, consistent_error
from unlearnable.protection.parameterisation import Pixels
from unlearnable.protection.surrogates import Training

LORA = Training(before="protected", fit=FineTune(5, lr=1e-4, rank=4))
DRAWN = Objective(consistent_error, goal="pattern")
PAPER = Protection("ace", DRAWN, LinfConstraint(4), Pixels(1 / 10), steps=10, rounds=10, surrogate=LORA)
