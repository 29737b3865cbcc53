"""CAAT: one backward pass moves the pictures up the loss and the model's cross-attention down it.

Xu et al., "Perturbing Attention Gives You More Bang for the Buck: Subtle Imaging Perturbations That Efficiently Fool
Customized Diffusion Models", CVPR 2024, arXiv 2404.15081: of the surrogate, the keys' and values' projections of the
text learn alone, by AdamW at 1e-5, from the gradients that the ascent needs anyway, which makes it the cheapest of the
max-min family. 6.4/255, step a tenth, 250 steps. Deviations: the pictures that are protected are those it learns, no
prior-preservation pictures, and small models learn at a rate that moves them (20 times `Model.fine_tune_lr`).

Budget: L-inf 6.4/255. Cost: 250 denoiser passes. For: fine-tuning.
"""

from unlearnable.models.watch import text_projections
from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.objectives import Objective, denoising
from unlearnable.protection.parameterisation import Pixels
from unlearnable.protection.together import Together

ASKED = Objective(denoising, needs=text_projections)
PAPER = Protection("caat", ASKED, LinfConstraint(6.4), Pixels(1 / 10), surrogate=Together(), steps=1, rounds=250)
