"""BlurGuard: noise that is blurred, region by region, until its spectrum is the picture's.

Kim et al., "BlurGuard: A Simple Approach for Robustifying Image Protection Against AI-Powered Editing", NeurIPS 2025,
arXiv 2511.00143: the ascent moves noise whose blurred form is what is added, so that purifiers have no odd frequencies
to remove. 16/255, step a sixteenth, 150 steps on the denoising loss. Any method does so by ``--options blur=true``.
Deviations: regions are squares of 16 px where the authors segment; a region's blur is chosen from six by the picture
alone (`protection.smooth`), where theirs is learnt beside the noise.

Budget: L-inf 16/255. Cost: 150 denoiser passes. For: editing.
"""

from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.objectives import Objective, denoising
from unlearnable.protection.parameterisation import Pixels

PAPER = Protection("blurguard", Objective(denoising), LinfConstraint(16), Pixels(1 / 16, blur=True), steps=150)
