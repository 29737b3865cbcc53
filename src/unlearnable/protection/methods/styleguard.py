"""StyleGuard: the loss, and latents whose statistics leave the picture's own style for another one's.

Li et al., "StyleGuard: Preventing Text-to-Image-Model-based Style Mimicry Attacks by Style Perturbations", NeurIPS
2025, arXiv 2505.18766: ASPL's loss plus 0.1 times the distance of the latents' channel means and variances from their
own, less that from another style's. 6.375/255, step a tenth, 50 rounds of 3 training and 6 ascent steps. Deviations:
those of `aspl`; the model alone, where the authors add an upscaler's loss to an ensemble, so that little is known of
what survives noisy upscaling; the other style is a pattern of ours; distances are means per element.

Budget: L-inf 6.375/255. Cost: 600 denoiser passes. For: style.
"""

from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.objectives import Objective
from unlearnable.protection.parameterisation import Pixels
from unlearnable.protection.styles import Styles, StyleShift
from unlearnable.protection.surrogates import ALTERNATING

STYLE = Objective(StyleShift(), goal=Styles("pattern"))
PAPER = Protection(
    "styleguard", STYLE, LinfConstraint(6.375), Pixels(1 / 10), surrogate=ALTERNATING, steps=6, rounds=50
)
