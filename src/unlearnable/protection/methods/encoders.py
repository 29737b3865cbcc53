"""Encoders: what several autoencoders see of a picture moves, and nothing else is asked.

Not from a paper. An attacker's model sees a picture only through its encoder, and what is made against one encoder
hardly moves another; one perturbation that climbs the product of several shifts holds against all of them at about a
tenth of the effect on each. Half of the steps see the picture resized and compressed in a row, as platforms do it. PID
(arXiv 2406.15305) and PhotoGuard's encoder attack (arXiv 2302.06588) are the same idea with one encoder. 36.1 dB.
"""

from unlearnable.protection.constraints import psnr
from unlearnable.protection.engine import Protection
from unlearnable.protection.objectives import nothing
from unlearnable.protection.transforms import identity, platform

PAPER = Protection(
    "encoders", nothing, psnr(36.1), step=1 / 4, steps=30, transforms=(identity, platform), against="flux2,sd1",
    side=512,
)  # fmt: skip
