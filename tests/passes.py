"""Count what a protection asks of a denoiser: one for each picture of each call, again where memory is saved.

`python tests/passes.py` prints every method's figure at its paper's settings, for one picture on the tiny SD 1, and for
`ldu-fast`, whose network fits no other, on the embedded model.
"""

from __future__ import annotations

import sys
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from tiny import PROMPT, fitted, pictures
from unlearnable import registry
from unlearnable.models.base import Model
from unlearnable.models.load import load_model
from unlearnable.protection import strengths
from unlearnable.protection.adjust import adjusted
from unlearnable.protection.engine import Protection
from unlearnable.protection.pool import Pool

ONLY_EMBEDDED = "ldu-fast"


def counted(protection: Protection, model: Model) -> int:
    """Of one picture: calls of the denoiser or of its copies, whoever makes them."""
    asked: list[int] = []

    def note(module: nn.Module, given: Any) -> None:
        if isinstance(module, type(model.denoiser)):
            asked.append(len(given[0]))

    hook = register_module_forward_pre_hook(note)
    try:
        protection(model, pictures(1, side=model.size), prompt=PROMPT)
    finally:
        hook.remove()
    return sum(asked)


def passes(protection: Protection) -> int:
    """Of one picture, in all: a straight line through two short runs, but for pools, whose states take turns."""
    if protection.name == ONLY_EMBEDDED:
        return counted(protection, load_model(device="cpu"))
    model, name = fitted("sd1"), "rounds" if protection.rounds > 1 else "steps"
    length = getattr(protection, name)
    if isinstance(protection.surrogate, Pool) or not length:
        return counted(protection, model)
    few, more = (counted(adjusted(protection, **{name: n}), model) for n in (2, 4))
    return few + (length - 2) * (more - few) // 2


if __name__ == "__main__":
    for name in sys.argv[1:] or registry.METHODS:
        print(f"{name:20} {passes(strengths.protection(name, 'paper'))}", flush=True)
