"""What ships for the embedded model: a shortcut whose few steps come nearer to many than plain DDIM's do."""

from dataclasses import replace

import torch

from tiny import pictures
from unlearnable import load_model, registry
from unlearnable.ldu.phi import load_phi
from unlearnable.ldu.train import few_steps


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
    still = replace(registry.protection("ldu", "paper"), steps=0, start="zero")
    x = pictures(1, side=64)
    assert torch.allclose(still(model, x), x, atol=1e-6)
