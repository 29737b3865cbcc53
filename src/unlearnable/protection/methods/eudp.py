"""EUDP: UDP with the times of the ascent drawn from a law made from the noise schedule.

Zhao et al., arXiv 2306.01902, section 4 (enhanced UDP): the perturbation reaches ``z_t`` scaled by
``sqrt(alpha_bar_t)``, so the ascent spends its draws where it counts.
Deviation: the exact law was not available to us; ``alpha_bar`` is our
reading (`unlearnable.protection.timesteps` has the others; docs/results/udp.md what they did), and the game is `udp`'s.

Budget: L-inf 8/255. Cost: 150 denoiser passes. For: data sets.
"""

from unlearnable.protection.adjust import adjusted
from unlearnable.protection.methods import udp

PAPER = adjusted(udp.PAPER, name="eudp", law="ab")
