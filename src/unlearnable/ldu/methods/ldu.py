"""LDU: each picture's denoising trajectory is shifted at its start, where a change hides in edges and texture.

Devulapally et al., "Latent Diffusion Unlearning", ACM MM 2025, arXiv 2510.03089, per picture: the picture is inverted
to z_T, a shift of z_T is learnt through k denoising steps and the decoder, and what it changes is added to the picture
(``x' = x + D(z'_0) - D(Phi_k(z_T))``). The attacker is a LoRA that has learnt the clean pictures, and sees the picture
re-encoded. Budget: PSNR 36.1 dB, the paper's, by dual ascent and exactly in the file. Deviations: a free shift where
the paper has a network (`ldu-fast`, `ldu-paper`), decoding by difference, one step from an eighth of the schedule, and
half of the budget open to pixels of their own.
"""

from unlearnable.ldu.method import TrajectoryShift
from unlearnable.protection.constraints import psnr
from unlearnable.protection.objectives import denoising
from unlearnable.protection.personalised import Personalised

PAPER = TrajectoryShift(
    "ldu", denoising, psnr(36.1), step=0.1, steps=100, surrogate=Personalised(("lora",)), residual=0.5
)
