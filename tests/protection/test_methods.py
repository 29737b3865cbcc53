"""Every protection on every family of model, in one table: a new method is one row.

The margin is how much better than random noise of the same budget a method must score by its own objective, relative to
the random score's size: on latent models, and on the pixel DDPM, where noise alone does much of the work.
"""

from dataclasses import replace

import pytest
import torch

from tiny import FAMILIES, PROMPT, SIDE, fitted, pictures
from unlearnable import registry, work
from unlearnable.images import files
from unlearnable.ldu.method import TrajectoryShift
from unlearnable.protection.constraints import Linf, psnr
from unlearnable.protection.engine import Protection
from unlearnable.protection.personalised import Personalised

MARGINS = {  # method: (latent, pixel)
    "advdm": (0.30, 0.05),
    "photoguard": (0.10, 0.10),
    "mist": (0.10, 0.05),
    "sds": (0.04, 0.20),
    "sds-plus": (0.25, 0.02),
    "ace": (0.04, 0.02),
    "fsmg": (0.30, 0.05),
    "aspl": (0.30, 0.05),
    "udp": (0.30, 0.05),
    "eudp": (0.30, 0.08),
    "ldu": (0.10, 0.02),
    "ldu-paper": (0.05, None),  # its way to the noisiest time and back is no way where pixels are the latents
}
LEVEL = {("ldu-paper", "sd2"), ("ldu-paper", "sd3")}  # no better than noise there (docs/ldu.md): budget and bits only
APART = {"random", "ldu-fast"}  # the control, and what needs a trained network: tests/ldu/test_train_rho.py


def test_the_table_has_every_method():
    assert {*MARGINS, *APART} == set(registry.METHODS)


def shortened(name: str, family: str) -> Protection:
    """The method's own settings at a length for small models; a pixel model feels small changes at small t only."""
    settings = registry.protection(name, "paper")
    rounds = min(settings.rounds, 3)
    settings = replace(settings, constraint=Linf(16), steps=24 // rounds, rounds=rounds, step=0.15)
    if isinstance(settings, TrajectoryShift):
        # by difference: a plain decode shows what these autoencoders lose, which alone breaks any budget
        quick = replace(settings, surrogate=Personalised(("lora",), steps=8), inversion=4, decode="difference")
        quick = replace(quick, constraint=psnr(28))
        return replace(quick, span=(0.0, 0.3), draws=3) if family == "ddpm" else quick
    return replace(settings, constraint=Linf(8), span=(0.0, 0.3), draws=3) if family == "ddpm" else settings


CASES = [(name, family) for name in MARGINS for family in FAMILIES if MARGINS[name][family == "ddpm"] is not None]


@pytest.mark.parametrize("name, family", CASES)
def test_method(name, family, tmp_path):
    model, protection = fitted(family), shortened(name, family)
    x = pictures(2, seed=9, side=min(model.size, SIDE))
    y = protection(model, x, prompt=PROMPT, seed=3)
    assert torch.equal(y, protection(model, x, prompt=PROMPT, seed=3)), "not repeatable"
    control = replace(registry.protection("random", "paper"), constraint=protection.constraint)(model, x, seed=3)

    written = []
    for clean, protected in zip(x, y):
        picture = files.Picture((clean * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())
        sealed = work.seal(picture, protected - clean, torch.ones(1, 1, 1), protection.constraint)
        files.write(sealed, tmp_path / "x.png")
        back = files.read(tmp_path / "x.png")
        measured = work.measure(picture, back)
        assert measured["linf"] > 0 and protection.constraint.holds(work.tensor(back.pixels) - clean * 255)
        written.append(work.tensor(back.pixels) / 255)

    scores = [protection.evaluate(model, z, prompt=PROMPT) for z in (torch.stack(written), control)]
    ours, random = (float(score.mean()) for score in scores)
    margin = MARGINS[name][family == "ddpm"]
    better = (name, family) in LEVEL or ours - random > margin * abs(random)
    assert better, f"{ours:.4f} against {random:.4f} for random noise"
