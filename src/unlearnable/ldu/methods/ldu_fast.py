"""LDU-fast: one pass through a network that has learnt which shift to give a trajectory; no ascent.

The amortised form of LDU (Devulapally et al., arXiv 2510.03089): ``z'_T = z_T + rho(z_T)`` with a small U-Net rho
trained once over many pictures (`unlearnable train-ldu`), which fits the model it was trained with only. Budget: PSNR
36.1 dB. `--steps` have no meaning here: ``--method ldu --options start=rho`` goes on from where this ends.

Budget: 36.1 dB. Cost: 8 denoiser passes. For: fine-tuning.
"""

from unlearnable.ldu.methods import ldu
from unlearnable.protection.adjust import adjusted

PAPER = adjusted(ldu.PAPER, name="ldu-fast", start="rho", steps=0, residual=0.0)
