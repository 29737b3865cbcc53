"""PhotoGuard, diffusion attack: an editor's whole run ends in grey.

Salman et al., "Raising the Cost of Malicious AI-Powered Image Editing", ICML 2023, arXiv 2302.06588, eq. 5: minimise
``||f(x + delta) - target||^2`` through 4 denoising steps and the decoder, the mean over 10 draws of noise. The authors'
notebook bounds the L2 norm by 16 in [-1, 1] at 512 px, 2.3 of 255 root mean square; step 1 of 16, 200 steps. Deviation:
an img2img run of strength 0.8 takes the place of inpainting, whose checkpoints are not among our models.

Budget: 40.9 dB. Cost: 16,000 denoiser passes. For: editing.
"""

from unlearnable.protection.constraints import L2Constraint
from unlearnable.protection.edits import EditedTo
from unlearnable.protection.engine import Protection
from unlearnable.protection.estimator import Estimator
from unlearnable.protection.goals import Picture
from unlearnable.protection.objectives import Objective
from unlearnable.protection.parameterisation import Pixels

GREY = Objective(EditedTo(), goal=Picture("grey"))
PAPER = Protection(
    "photoguard-diffusion", GREY, L2Constraint(2.3), Pixels(1 / 16), Estimator(eot_samples=10), steps=200
)
