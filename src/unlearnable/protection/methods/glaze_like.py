"""Glaze-like: the picture's latents are pulled to those of a copy in another style, within a bound on how it looks.

After Shan et al., "Glaze: Protecting Artists from Style Mimicry by Text-to-Image Models", USENIX Security 2023, arXiv
2302.04222. The original is a closed app, and this is no copy of it: what it computes in detail is not published. Ours
minimises ``||E(x + delta) - E(styled)||^2`` with a perceptual bound p = 0.05. Deviations: the styled copy is the
model's own img2img under another style's prompt (on a model without text: just redrawn); the bound is in the distance
of the feature network that ships, not LPIPS, with a floor of 28 dB; 200 normalised steps of a tenth of that in place of
Adam.

Budget: looks 0.05, 28.1 dB. Cost: 20 denoiser passes. For: style.
"""

from unlearnable.protection.engine import Protection
from unlearnable.protection.goals import Redrawn
from unlearnable.protection.objectives import Objective, encoder
from unlearnable.protection.parameterisation import Pixels
from unlearnable.protection.perceptual import PerceptualConstraint

STYLED = Redrawn("an oil painting in the style of cubism")
PAPER = Protection("glaze-like", Objective(encoder, goal=STYLED), PerceptualConstraint(0.05), Pixels(1 / 10), steps=200)
