"""DiffusionGuard: the first answer of an edit is driven off, whatever part of the picture the editor keeps.

Choi et al., "DiffusionGuard: A Robust Defense against Malicious Diffusion-based Image Editing", ICLR 2025, arXiv
2410.05694: ascend the norm of the noise that the denoiser predicts in the first step, under masks that shrink at
random. 16/255, 800 steps of 1/255. Deviations: img2img of strength 0.8 in place of an inpainting checkpoint, so the
first step is at 0.8 of the schedule; masks are random inner rectangles, where the authors shrink the contour of a given
mask.

Budget: L-inf 16/255. Cost: 800 denoiser passes. For: editing.
"""

from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.edits import FirstPrediction
from unlearnable.protection.engine import Protection
from unlearnable.protection.estimator import Estimator
from unlearnable.protection.objectives import Objective
from unlearnable.protection.parameterisation import Pixels
from unlearnable.protection.transforms import window

PAPER = Protection(
    "diffusionguard", Objective(FirstPrediction()), LinfConstraint(16), Pixels(1 / 16),
    Estimator(transforms=(window,)), steps=800,
)  # fmt: skip
