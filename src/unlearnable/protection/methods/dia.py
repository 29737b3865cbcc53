"""DIA: DDIM inversion of the picture ends elsewhere, so that editors that start there edit something else.

Hong et al., "DIA: The Adversarial Exposure of Deterministic Inversion in Diffusion Models", ICCV 2025, arXiv
2510.00778: ascend the distance of the inverted trajectory from the clean picture's through all 10 moves of DDIM
inversion. 6.4/255, step 0.5, 20 steps. Of these methods it is the nearest to LDU, which shifts the end of the same
trajectory. Deviations: the distance at the trajectory's end alone.

Budget: L-inf 6.4/255. Cost: 410 denoiser passes. For: editing.
"""

from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.edits import InversionShift
from unlearnable.protection.engine import Protection
from unlearnable.protection.goals import Inverted
from unlearnable.protection.objectives import Objective
from unlearnable.protection.parameterisation import Pixels

STEPS = 10
ELSEWHERE = Objective(InversionShift(STEPS), goal=Inverted(STEPS))
PAPER = Protection("dia", ELSEWHERE, LinfConstraint(6.4), Pixels(0.5 / 6.4), steps=20)
