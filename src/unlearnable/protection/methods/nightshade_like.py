"""Nightshade-like: the picture's latents are pulled to those of another concept's picture.

After Shan et al., "Nightshade: Prompt-Specific Poisoning Attacks on Text-to-Image Generative Models", IEEE S&P 2024,
arXiv 2310.13828. The original is a closed app, and this is no copy of it. Ours minimises ``||E(x + delta) -
E(other)||^2`` with a perceptual bound p = 0.07, other being what the model draws under another concept's prompt.
Deviations: those of `glaze-like`; the concept is always a cat; the authors choose the pictures to poison, which here
are the user's.

Budget: looks 0.07, 28.1 dB. Cost: 20 denoiser passes. For: poisoning.
"""

from unlearnable.protection.engine import Protection
from unlearnable.protection.goals import Redrawn
from unlearnable.protection.objectives import Objective, encoder
from unlearnable.protection.parameterisation import Pixels
from unlearnable.protection.perceptual import PerceptualConstraint

OTHER = Redrawn("a photo of a cat", strength=1.0)
PAPER = Protection(
    "nightshade-like", Objective(encoder, goal=OTHER), PerceptualConstraint(0.07), Pixels(1 / 10), steps=200
)
