"""Encoders as targets: all of them move, further than by noise; they join a model's objective; no model is loaded."""

from dataclasses import replace

import pytest
import torch

from tiny import PROMPT, fitted, pictures
from unlearnable.models.encoders.load import Encoder, load
from unlearnable.models.outline import outline
from unlearnable.protection import strengths
from unlearnable.protection.adjust import adjusted
from unlearnable.protection.against import FLOOR, Against, EncoderAscent
from unlearnable.protection.constraints import psnr
from unlearnable.protection.engine import joined

NAMES = "flux2,sd1"
QUICK = adjusted(strengths.protection("encoders", "paper"), steps=10, transforms=())


@pytest.fixture(scope="module")
def x():
    return pictures(2, seed=12, side=64)


def shifts(x, y):
    """Root mean square shift of each encoder's latents."""
    with torch.no_grad():
        return torch.tensor([(e(y) - e(x)).square().mean().sqrt() for e in load(NAMES, offline=True)])


def made(x, settings=QUICK):
    return settings(outline("embedded", "cpu"), x, seed=3)


def test_every_encoder_moves_further_than_by_noise_and_at_little_cost_to_each(x):
    noise = adjusted(strengths.protection("random", "paper"), constraint=psnr(36.1))(outline("embedded", "cpu"), x)
    both = shifts(x, made(x))
    alone = torch.stack(
        [shifts(x, made(x, adjusted(QUICK, encoders=name)))[i] for i, name in enumerate(("flux2", "sd1"))]
    )
    assert (both > 1.5 * shifts(x, noise)).all(), (both, shifts(x, noise))
    assert (both > 0.6 * alone).all(), (both, alone)
    assert torch.equal(made(x), made(x)) and QUICK.constraint.is_satisfied(255 * (made(x) - x)[0], 255 * x[0])


def test_they_join_the_objective_of_a_model(x):
    small = x[..., :32, :32]
    plain = adjusted(strengths.protection("advdm", "paper"), steps=8, constraint=psnr(36.1), step=0.25)
    model = fitted("sd1")
    without, with_them = (
        settings(model, small, prompt=PROMPT, seed=3) for settings in (plain, replace(plain, against=Against(NAMES)))
    )
    assert (shifts(small, with_them) > 1.2 * shifts(small, without)).all()
    before, lone, together = (
        float(plain.evaluate(model, y, prompt=PROMPT).mean()) for y in (small, without, with_them)
    )
    assert together - before > 0.3 * (lone - before) > 0


def test_the_sum_of_logarithms_by_hand():
    """Two encoders that scale the picture: the scale adds a constant, and leaves the gradient as it is."""
    x, y = torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 0.5)

    def scaled(factor):
        return Encoder("pixels", "test", True, torch.nn.Identity(), lambda network, z: factor * z, 8)

    def value(**how):
        return EncoderAscent(Against(**how), (scaled(1.0), scaled(3.0)), x, ()).score(y)

    squared = torch.tensor([0.25 + FLOOR, 2.25 + FLOOR])
    for join, want in (("product", squared.prod().log()), ("sum", squared.sum().log())):
        assert value(join=join).shape == (2,) and torch.allclose(value(join=join), want.expand(2))
    assert torch.allclose(value(join="worst"), -(1 / squared).sum().log().expand(2)), "near the smaller of the two"
    assert torch.allclose(value(aim="grey"), -torch.tensor([FLOOR, FLOOR]).log().sum().expand(2)), "it is grey"
    half = torch.tensor([0.125 + FLOOR, 1.125 + FLOOR])  # means differ, and variances do not
    assert torch.allclose(value(aim="statistics"), half.prod().log().expand(2))


def test_gradients_in_different_units_count_alike():
    first, second = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    first[0, 0, 0, 0], second[0, 1, 1, 1] = 1e-6, -50.0
    total = joined([first, second])
    assert total[0, 0, 0, 0] == pytest.approx(1) and total[0, 1, 1, 1] == pytest.approx(-1)
    assert torch.equal(joined([second]), second)


def test_what_is_real_and_what_a_stand_in_is_said():
    assert QUICK.remark(outline("embedded", "cpu")) == "encoders: against flux2 (a stand-in), sd1 (a stand-in)"
    assert not QUICK.asks_model and replace(strengths.protection("advdm"), against=Against("sd1")).asks_model
