"""Random sign noise of the same budget: the control that every protection must beat.

Each sample moves by plus or minus the whole budget, at random. Whatever a protection achieves beyond this row is due to
the method; what this row achieves is due to degrading the picture.

Budget: L-inf 8/255. Cost: 0 denoiser passes. For: control.
"""

from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.parameterisation import Pixels

PAPER = Protection("random", constraint=LinfConstraint(8), parameterisation=Pixels(start="sign"), steps=0)
