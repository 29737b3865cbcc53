"""LDU-paper: the paper's own settings, a network trained on the pictures it protects, decoded plainly.

Devulapally et al., arXiv 2510.03089: ``min_rho max_lambda -L(z'_0; psi, c) + lambda (d(x, D(z'_0)) - b)`` for the group
of pictures at hand, from the noisiest time in k = 4 steps, L on the trajectory's end, PSNR 36.1 dB. psi is a DreamBooth
LoRA (``--options surrogate=token`` for textual inversion, ``lora+token`` for both). Deviation: a plain decode loses
what the autoencoder loses, often more than the budget alone, so the change is scaled down until the file obeys.

Budget: 36.1 dB. Cost: 1,924 denoiser passes. For: fine-tuning.
"""

from unlearnable.ldu.method import TrajectoryShift
from unlearnable.protection.constraints import psnr
from unlearnable.protection.engine import Protection
from unlearnable.protection.objectives import Objective, denoising
from unlearnable.protection.personalised import Personalised

TRAJECTORY = TrajectoryShift(start="zero", k=4, t_start=1.0, inversion=20, decode="plain", shift="network", latent=True)
PAPER = Protection(
    "ldu-paper", Objective(denoising), psnr(36.1), TRAJECTORY, surrogate=Personalised(("lora",)), steps=200
)
