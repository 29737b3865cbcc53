"""Encoders: what several autoencoders see of a picture moves, and nothing else is asked.

Not from a paper. An attacker's model sees a picture only through its encoder, and what is made against one encoder
hardly moves another; one perturbation that climbs the product of several shifts holds against all of them at about a
tenth of the effect on each. Half of the steps see the picture resized and compressed in a row, as platforms do it. The
ascent starts from the patterns that `fastprotect` learned, which saves half of the steps. PID (arXiv 2406.15305) and
PhotoGuard's encoder attack (arXiv 2302.06588) are the same idea with one encoder. 36.1 dB.

Paper: none. Budget: 36.1 dB. Cost: 0 denoiser passes. For: fine-tuning.
"""

from unlearnable.protection.against import Against
from unlearnable.protection.constraints import psnr
from unlearnable.protection.engine import Protection
from unlearnable.protection.estimator import Estimator
from unlearnable.protection.parameterisation import Pixels
from unlearnable.protection.transforms import identity, platform

PAPER = Protection(
    "encoders", None, psnr(36.1), Pixels(1 / 4, start="patterns"), Estimator(transforms=(identity, platform)),
    against=Against(), steps=10, side=512,
)  # fmt: skip
