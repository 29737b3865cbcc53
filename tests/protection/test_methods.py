"""Every protection on every family of model, in one table: a new method is one row.

The margin is how much better than random noise of the same budget a method must score by its own objective, relative to
the random score's size: on latent models, and on the pixel DDPM, where noise alone does much of the work.
"""

from dataclasses import replace

import pytest
import torch

from tiny import FAMILIES, PROMPT, SIDE, fitted, pictures
from unlearnable import registry
from unlearnable.errors import UsageError
from unlearnable.images import files
from unlearnable.images.tensors import tensor
from unlearnable.ldu.method import TrajectoryShift
from unlearnable.protection import sealing as work
from unlearnable.protection import strengths
from unlearnable.protection.adjust import adjusted
from unlearnable.protection.constraints import LinfConstraint, psnr
from unlearnable.protection.edges import EdgeConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.personalised import Personalised
from unlearnable.protection.surrogates import Training

MARGINS = {  # method: (latent, pixel)
    "advdm": (0.30, 0.05),
    "photoguard": (0.10, 0.10),
    "mist": (0.10, 0.05),
    "pid": (1.00, None),  # without an autoencoder noise of full size is as far from the picture as anything
    "sds": (0.04, 0.20),
    "sds-plus": (0.25, 0.02),
    "ace": (0.04, 0.02),
    "fsmg": (0.30, 0.05),
    "aspl": (0.30, 0.05),
    "simac": (0.30, 0.05),
    "caat": (0.30, 0.05),
    "metacloak": (0.30, None),  # blurred by 7 px, pictures of 16 px lose what noise has over them
    "pap": (0.30, 0.05),
    "disdiff": (0.30, 0.05),
    "anti-diffusion": (0.30, 0.05),
    "hf-adb": (0.02, 0.01),  # 3 % of these pictures' pixels have nearly all of the budget
    "styleguard": (0.30, 0.05),
    "glaze-like": (0.03, 0.05),
    "nightshade-like": (0.10, 0.03),
    "blurguard": (0.10, None),  # smooth noise does less than random noise where pixels are the latents
    "antipure": (0.10, None),  # of pixels, all but its own few times say nothing of it
    "dia": (0.10, 0.02),
    "photoguard-diffusion": (0.05, 0.002),
    "diffusionguard": (0.0001, 0.0001),  # of a norm of about 1, which random noise leaves as it is
    "udp": (0.30, 0.05),
    "eudp": (0.30, 0.08),
    "ldu": (0.10, 0.02),
    "ldu-paper": (0.05, None),  # its way to the noisiest time and back is no way where pixels are the latents
}
REFUSED = {  # families that a method cannot be asked of: one sentence
    "simac": {"sd3", "flux"},
    "caat": {"ddpm"},
    "disdiff": {"sd3", "flux", "ddpm"},
    "pap": {"ddpm"},
    "anti-diffusion": {"sd3", "flux", "ddpm"},
}
LEVEL = {
    ("ldu-paper", "sd2"),
    ("ldu-paper", "sd3"),
}  # as noise there (docs/results/ldu.md): budget and bits only
# the controls, what asks no model (test_against.py, test_patterns.py), what needs a network (ldu/test_train_rho.py)
APART = {"random", "desaturate", "encoders", "fastprotect", "ldu-fast"}


def test_the_table_has_every_method():
    assert {*MARGINS, *APART} == set(registry.METHODS)


def shortened(name: str, family: str) -> Protection:
    """The method's own settings at a length for small models; a pixel model feels small changes at small t only."""
    settings = strengths.protection(name, "paper")
    rounds = min(settings.rounds, 3)
    own = isinstance(settings.constraint, EdgeConstraint)
    budget = settings.constraint if own else LinfConstraint(16)
    settings = adjusted(settings, constraint=budget, steps=24 // rounds, rounds=rounds, step=0.15)
    settings = adjusted(settings, eot_samples=min(2, settings.estimator.eot_samples))
    if isinstance(settings.surrogate, Training):
        fit = settings.surrogate.fit
        settings = adjusted(settings, surrogate=replace(settings.surrogate, fit=replace(fit, steps=min(25, fit.steps))))
    if settings.estimator.times.search:
        settings = adjusted(settings, span=(0.3, 0.5))  # fewer rounds until a tenth of all times is left
    if isinstance(settings.parameterisation, TrajectoryShift):
        # by difference: a plain decode shows what these autoencoders lose, which alone breaks any budget
        quick = adjusted(settings, inversion=4, decode="difference", constraint=psnr(28))
        if isinstance(quick.surrogate, Personalised):
            quick = adjusted(quick, surrogate=adjusted(quick.surrogate, steps=8))
        return adjusted(quick, span=(0.0, 0.3), eot_samples=3) if family == "ddpm" else quick
    if family != "ddpm":
        return settings
    return adjusted(settings, constraint=budget if own else LinfConstraint(8), span=(0.0, 0.3), eot_samples=3)


# By default eps alone, one method of each kind on one family of each kind (eps, flow, pixels); all with -m slow.
KINDS = {"advdm", "udp", "ldu"}  # a method of pixels, of a game, of a trajectory
LONG = {"dia", "photoguard-diffusion", "ldu-paper"}  # sample a picture for each step


def is_slow(name: str, family: str) -> bool:
    return name in LONG or family not in ({"sd1", "flux", "ddpm"} if name in KINDS else {"sd1"})


CASES = [
    pytest.param(name, family, marks=pytest.mark.slow if is_slow(name, family) else ())
    for name in MARGINS
    for family in FAMILIES
    if MARGINS[name][family == "ddpm"] is not None
]


@pytest.mark.parametrize("name, family", CASES)
def test_method(name, family, tmp_path):
    model, protection = fitted(family), shortened(name, family)
    x = pictures(2, seed=9, side=min(model.size, SIDE))
    if family in REFUSED.get(name, ()):
        with pytest.raises(UsageError, match=f"a {family} model"):
            protection(model, x, prompt=PROMPT)
        return
    y = protection(model, x, prompt=PROMPT, seed=3)
    if family != "sd1":  # there tests/test_running.py does it, in company and alone
        assert torch.equal(y, protection(model, x, prompt=PROMPT, seed=3)), "not repeatable"
    control = adjusted(strengths.protection("random", "paper"), constraint=protection.constraint)(model, x, seed=3)

    written = []
    for clean, protected in zip(x, y):
        picture = files.Picture((clean * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())
        sealed = work.seal(picture, protected - clean, torch.ones(1, 1, 1), protection.constraint)
        files.write(sealed, tmp_path / "x.png")
        back = files.read(tmp_path / "x.png")
        measured = work.measure(picture, back)
        assert measured["linf"] > 0 and protection.constraint.is_satisfied(
            tensor(back.pixels) - clean * 255, clean * 255
        )
        written.append(tensor(back.pixels) / 255)

    target = x if protection.objective.own else None
    scores = [protection.evaluate(model, z, prompt=PROMPT, target=target) for z in (torch.stack(written), control)]
    ours, random = (float(score.mean()) for score in scores)
    margin = MARGINS[name][family == "ddpm"]
    better = (name, family) in LEVEL or ours - random > margin * abs(random)
    assert better, f"{ours:.4f} against {random:.4f} for random noise"


def test_desaturation_takes_colour_alone_by_its_budget():
    """On the line from each pixel to its own mean: brightness stays, all channels lose the same share."""
    x = 0.25 + 0.5 * pictures(3, seed=4, side=32)
    x[2] = x[2].mean(0, keepdim=True)
    y = strengths.protection("desaturate", "paper")(fitted("sd1"), x)
    colour, left = (z - z.mean(1, keepdim=True) for z in (x, y))
    assert torch.allclose(y.mean(1), x.mean(1), atol=1e-6) and torch.equal(y[2], x[2])
    for before, after, change in zip(colour[:2], left[:2], (y - x)[:2]):
        share = float((before * after).sum() / before.square().sum())
        assert 0 < share < 1 and torch.allclose(after, share * before, atol=1e-6)
        assert -10 * float(change.square().mean().log10()) == pytest.approx(36.1, abs=0.01)
