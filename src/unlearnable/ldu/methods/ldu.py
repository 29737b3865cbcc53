"""LDU: each picture's denoising trajectory is shifted at its start, where a change hides in edges and texture.

Devulapally et al., "Latent Diffusion Unlearning", ACM MM 2025, arXiv 2510.03089, per picture: the picture is inverted
to z_T, a shift of z_T is learnt through k denoising steps and the decoder, and what it changes is added to the picture
(``x' = x + D(z'_0) - D(Phi_k(z_T))``). The attacker sees the picture re-encoded. Budget: PSNR 36.1 dB, the paper's, by
dual ascent and exactly in the file. Deviations, each of which the ablation in docs/results/ldu.md paid for: the
objective is semantic and textural (the loss, and a pull of the code towards plain grey, which gives all pictures one
drift that an attacker learns for the subject's own); the surrogate alternates between clean and protected pictures,
as Anti-DreamBooth's does, where the paper's has learnt the clean ones (on large models ours has too, since copies in
training would not fit beside them); a free shift where the paper has a network (`ldu-fast`, `ldu-paper`); decoding by
difference; one step from an eighth of the schedule; and nine tenths of the budget open to pixels of their own.

Budget: 36.1 dB. Cost: 314 denoiser passes. For: fine-tuning.
"""

from unlearnable.ldu.method import TrajectoryShift
from unlearnable.protection.constraints import psnr
from unlearnable.protection.engine import Protection
from unlearnable.protection.objectives import Mist, Objective
from unlearnable.protection.personalised import Personalised
from unlearnable.protection.surrogates import ALTERNATING, BySize

SURROGATE = BySize(ALTERNATING, Personalised(("lora",)))
TRAJECTORY = TrajectoryShift(step=0.1, residual=0.9)
PAPER = Protection(
    "ldu", Objective(Mist(), goal="grey"), psnr(36.1), TRAJECTORY, surrogate=SURROGATE, steps=2, rounds=25
)
