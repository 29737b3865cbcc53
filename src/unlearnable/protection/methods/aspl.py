"""ASPL: surrogate and perturbation in alternation.

Van Le et al., "Anti-DreamBooth", ICCV 2023, arXiv 2303.15433, section 4.3 (alternating surrogate and perturbation
learning): each round a copy of the surrogate learns the clean pictures, the ascent runs against that copy, and the
surrogate itself learns the protected ones. 6.375/255, step a tenth, 50 rounds of 3 training and 6 ascent steps.
Deviations: the clean pictures are those that are being protected and the denoiser alone learns, where the
authors' scripts have other pictures (set A) and can train the text encoder: ``--options clean=FOLDER,text=true``.
No prior-preservation pictures; the surrogate's rate is `Model.fine_tune_lr` (5e-7 on Stable Diffusion).

Budget: L-inf 6.375/255. Cost: 600 denoiser passes. For: fine-tuning.
"""

from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.objectives import Objective, denoising
from unlearnable.protection.parameterisation import Pixels
from unlearnable.protection.surrogates import ALTERNATING

PAPER = Protection(
    "aspl", Objective(denoising), LinfConstraint(6.375), Pixels(1 / 10), surrogate=ALTERNATING, steps=6, rounds=50
)
