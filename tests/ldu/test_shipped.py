"""What ships for the embedded model: a shortcut nearer to many steps than plain DDIM, a rho better than noise."""

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


def test_the_shortcut_that_ships_is_used_and_comes_nearer():
    model = load_model("embedded", device="cpu", dtype="float32")
    phi = load_phi("auto", model)
    assert phi.kind == "shortcut" and "that ships" in phi.describe()
    rows = few_steps(model, phi, "a photo of a sunflower", seed=3)  # not the seed its report was made with
    assert all(rows["shortcut"][k] < 0.8 * rows["ddim"][k] for k in (1, 2, 4)), rows
    other = load_model("embedded", device="cpu", dtype="float32")
    with torch.no_grad():
        next(other.denoiser.parameters()).add_(0.1)
    assert load_phi("auto", other).kind == "ddim", "other weights, other trajectories"
    still = adjusted(strengths.protection("ldu", "paper"), steps=0, start="zero")
    x = pictures(1, side=64)
    assert torch.allclose(still(model, x), x, atol=1e-6)


def test_the_rho_that_ships_protects_photographs_it_never_saw():
    """One pass, at 36.1 dB: the objective rises well above what random noise of the same budget makes of it."""
    model = load_model("embedded", device="cpu", dtype="float32")
    crops = [data.astronaut()[:256, 120:376], data.cat()[20:276, 100:356]]
    x = torch.cat([scale(tensor(crop)[None] / 255, [128, 128]) for crop in crops])
    fast = strengths.protection("ldu-fast", "paper")
    control = adjusted(strengths.protection("random", "paper"), constraint=fast.constraint)
    clean, noisy, ours = (fast.evaluate(model, y, prompt="a photo") for y in (x, control(model, x), fast(model, x)))
    assert (ours - clean > 3 * (noisy - clean).abs()).all(), f"{clean}, random {noisy}, rho {ours}"
    assert (ours - noisy > 0.03).all()
