"""What ships for the embedded model: few steps near to many, and a rho better than noise."""

import torch
from skimage import data

from tiny import pictures
from unlearnable import load_model
from unlearnable.images.tensors import tensor
from unlearnable.ldu.phi import load_phi
from unlearnable.ldu.train import few_steps
from unlearnable.protection import strengths
from unlearnable.protection.adjust import adjusted
from unlearnable.protection.transforms import scale


def test_without_a_shortcut_that_ships_few_steps_of_ddim_come_near():
    model = load_model("embedded", device="cpu", dtype="float32")
    phi = load_phi("auto", model)
    assert phi.kind == "ddim"
    rows = few_steps(model, phi, "a photo of a sunflower", seed=3)["ddim"]
    assert rows[1] > rows[2] > rows[4] > rows[8], rows
    assert rows[4] < 0.35, rows
    still = adjusted(strengths.protection("ldu", "paper"), steps=0, start="zero")
    x = pictures(1, side=64)
    assert torch.allclose(still(model, x), x, atol=1e-6)


def test_the_rho_that_ships_protects_photographs_it_never_saw():
    """One pass, at 36.1 dB: the objective rises above what random noise of the same budget makes of it."""
    model = load_model("embedded", device="cpu", dtype="float32")
    crops = [data.astronaut()[:256, 120:376], data.cat()[20:276, 100:356]]
    x = torch.cat([scale(tensor(crop)[None] / 255, [128, 128]) for crop in crops])
    fast = strengths.protection("ldu-fast", "paper")
    control = adjusted(strengths.protection("random", "paper"), constraint=fast.constraint)
    clean, noisy, ours = (fast.evaluate(model, y, prompt="a photo") for y in (x, control(model, x), fast(model, x)))
    assert (ours - clean > 1.5 * (noisy - clean).abs()).all(), f"{clean}, random {noisy}, rho {ours}"
    assert (ours - noisy > 0.015).all()
