"""On the model that ships: at 8/255 the ascent does far more than noise of the same budget does."""

import pytest
import torch
from skimage import data

from unlearnable import load_model
from unlearnable.images.tensors import tensor
from unlearnable.protection import strengths
from unlearnable.protection.adjust import adjusted
from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.transforms import scale


@pytest.mark.parametrize("name", ["advdm", "eudp"])
def test_loss_rises_well_above_the_random_control(name):
    model = load_model("embedded", device="cpu", dtype="float32")
    crops = [data.astronaut()[:256, 120:376], data.cat()[20:276, 100:356]]
    x = torch.cat([scale(tensor(crop)[None] / 255, [128, 128]) for crop in crops])
    settings = adjusted(strengths.protection(name, "paper"), constraint=LinfConstraint(8), rounds=2, steps=8)
    control = adjusted(strengths.protection("random", "paper"), constraint=LinfConstraint(8))
    clean, noisy, ours = (
        settings.evaluate(model, y, prompt="a photo", draws=8)
        for y in (x, control(model, x), settings(model, x, prompt="a photo"))
    )
    assert (ours - clean > 3 * (noisy - clean).abs()).all(), f"{clean}, random {noisy}, {name} {ours}"
    assert (ours > 1.1 * clean).all()
