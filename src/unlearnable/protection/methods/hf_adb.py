"""HF-ADB: ASPL that may move edges far and smooth parts hardly at all.

Onikubo and Matsui, "High-Frequency Anti-DreamBooth: Robust Defense against Personalized Image Synthesis", ECCV 2024
workshops, arXiv 2409.08167: Anti-DreamBooth's ASPL with 64/255 on the 3 % of pixels with the strongest Laplacian and
1.3/255 elsewhere, which purifiers hardly touch. 50 rounds of 3 training and 6 ascent steps. Deviations: those of
`aspl`; a step is a tenth of the larger budget, which the smaller one clips. Any method has this budget by ``--options
edges=true``; a strength or a flag that names a budget replaces it, and leaves `aspl`.

Budget: edges 64, else 1.3/255. Cost: 600 denoiser passes. For: fine-tuning.
"""

from unlearnable.protection.edges import EdgeConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.objectives import Objective, denoising
from unlearnable.protection.parameterisation import Pixels
from unlearnable.protection.surrogates import ALTERNATING

EDGES = EdgeConstraint(64, 1.3)
PAPER = Protection("hf-adb", Objective(denoising), EDGES, Pixels(1 / 10), surrogate=ALTERNATING, steps=6, rounds=50)
