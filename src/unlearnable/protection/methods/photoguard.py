"""PhotoGuard, encoder attack: the autoencoder takes the picture for a grey one.

Salman et al., "Raising the Cost of Malicious AI-Powered Image Editing", ICML 2023, arXiv 2302.06588, eq. 4: minimise
``||E(x + delta) - E(target)||^2``. The published 0.06 in [-1, 1] is 7.65 of 255; its step of 0.02 is a third of that.
Deviations: 200 steps where the authors' notebooks take up to 1000, and a constant step. The diffusion attack of the
same paper (through a whole sampling run) is not part of this method.

Budget: L-inf 7.65/255. Cost: 0 denoiser passes. For: editing.
"""

from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.objectives import Objective, encoder
from unlearnable.protection.parameterisation import Pixels

PAPER = Protection("photoguard", Objective(encoder, goal="grey"), LinfConstraint(7.65), Pixels(1 / 3), steps=200)
