"""FastProtect: patterns that were learned once over many pictures are added; no model is asked.

Ahn et al., "Nearly Zero-Cost Protection Against Mimicry by Personalized Diffusion Models", CVPR 2025, arXiv
2412.11423. One pattern is shared, one of four is chosen by the picture's kind (`protection.patterns`;
``--options patterns=FILE`` names others than those that ship). Where the strength bounds what people see, the patterns
are strongest where textures hide them. Deviations: kinds are told by thumbnails instead of latents; the patterns were
learned against the encoders that ship, not against Stable Diffusion's own; the bound on what is seen is ours, in place
of LPIPS maps. ``--method encoders --options start=patterns`` goes on from where this ends.

Budget: L-inf 8/255. Cost: 0 denoiser passes. For: fine-tuning.
"""

from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.parameterisation import Pixels

PAPER = Protection("fastprotect", None, LinfConstraint(8), Pixels(start="patterns"), steps=0, side=512)
