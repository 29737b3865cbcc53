"""Less colour, by the same budget: the control that a protection must beat to be more than a filter.

Each sample moves towards the mean of its pixel's channels, so far as the budget allows. No model is asked, and anybody
can undo it. Methods that pull a picture's code towards grey do something like it on a model whose codes hold little but
colour; what they achieve beyond this row is due to the method. Grey pictures stay as they are.

Budget: 36.1 dB. Cost: 0 denoiser passes. For: control.
"""

from unlearnable.protection.constraints import psnr
from unlearnable.protection.engine import Protection
from unlearnable.protection.parameterisation import Pixels

PAPER = Protection("desaturate", constraint=psnr(36.1), parameterisation=Pixels(start="grey"), steps=0)
