"""FSMG: ascend against a surrogate that has already learned the clean pictures.

Van Le et al., "Anti-DreamBooth", ICCV 2023, arXiv 2303.15433, section 4.3 (fully-trained surrogate model guidance): the
model is fine-tuned on the clean pictures once, then frozen. The published 0.05 in [-1, 1] is 6.375 of 255, its step of
0.005 a tenth. Deviations: the surrogate learns the pictures that are being protected, by the denoiser alone, where the
authors' scripts have other pictures (set A) and can train the text encoder: ``--options clean=FOLDER,text=true``.
It learns for 100 steps at the model's own rate (`Model.fine_tune_lr`).

Budget: L-inf 6.375/255. Cost: 200 denoiser passes. For: fine-tuning.
"""

from unlearnable.models.finetune.training import FineTune
from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.objectives import Objective, denoising
from unlearnable.protection.parameterisation import Pixels
from unlearnable.protection.surrogates import Training

LEARNED = Training(before="clean", fit=FineTune(100))
PAPER = Protection("fsmg", Objective(denoising), LinfConstraint(6.375), Pixels(1 / 10), surrogate=LEARNED, steps=100)
