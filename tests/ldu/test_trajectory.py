"""Shifted trajectories: no shift changes nothing, gradients go through all steps, moves obey the budget."""

from dataclasses import replace

import pytest
import torch

from tiny import FAMILIES, PROMPT, SIDE, adapt, build, pictures
from unlearnable.errors import SetupError, UsageError
from unlearnable.images import files
from unlearnable.ldu.methods import ldu
from unlearnable.ldu.phi import phi_of
from unlearnable.ldu.shift import Rho
from unlearnable.ldu.shortcut import Shortcut
from unlearnable.ldu.trajectory import Course, Route, Trajectory
from unlearnable.protection import sealing as work
from unlearnable.protection import strengths
from unlearnable.protection.adjust import adjusted
from unlearnable.protection.constraints import LinfConstraint, psnr
from unlearnable.protection.objectives import Batch, denoising
from unlearnable.protection.parameterisation import Scene
from unlearnable.protection.surrogates import Frozen
from unlearnable.rng import generator

SHORT = adjusted(ldu.PAPER, steps=3, rounds=1, surrogate=Frozen(), inversion=4)
ROUTE = Route(k=2, t_start=0.25, inversion=4)


def tiny(family="sd1", seed=0):
    return adapt(build(family, seed), f"tiny-{family}")


def seen_by(model, count=2):
    return pictures(count, seed=9, side=min(model.size, SIDE))


def scene(model, constraint=None, **changes):
    x = seen_by(model)
    more = {"keys": ["a", "b"], "mask": torch.ones_like(x[:, :1]), "prompt": PROMPT, "seed": 0}
    return Scene(x=x, constraint=constraint or psnr(36.1), **(more | changes))


def sealed(constraint, before, after):
    """The written levels of each picture."""
    for x, y in zip(before, after):
        picture = files.Picture((x * 255).round().to(torch.uint8).permute(1, 2, 0).numpy())
        yield picture.pixels, work.seal(picture, (y - x), torch.ones(1, 1, 1), constraint).pixels


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("phi", ["ddim", "shortcut"])
def test_no_shift_gives_back_identical_pixels(family, phi, tmp_path):
    model = tiny(family)
    if phi == "shortcut":
        Shortcut(model, 2).save(tmp_path / "s.safetensors")
        phi = f"shortcut:{tmp_path / 's.safetensors'}"
    still = adjusted(SHORT, steps=0, start="zero", phi=phi)
    for k, t_start in ((1, 0.125), (4, 1.0)):
        x = seen_by(model)
        y = adjusted(still, k=k, t_start=t_start)(model, x, prompt=PROMPT)
        assert all((before == after).all() for before, after in sealed(still.constraint, x, y))


def test_an_untrained_rho_gives_back_identical_pixels(tmp_path):
    model = tiny()
    facts = {"route": {"k": 2, "t_start": 0.25, "inversion": 3}, "prompt": "a photo", "phi": "ddim"}
    Rho(4).save(tmp_path / "rho.safetensors", model, **facts)
    fast = adjusted(strengths.protection("ldu-fast", "paper"), rho=str(tmp_path / "rho.safetensors"))
    x = seen_by(model)
    assert all((a == b).all() for a, b in sealed(fast.constraint, x, fast(model, x)))
    with pytest.raises(UsageError, match="was made for another model"):
        fast(tiny(seed=1), x)
    with pytest.raises(UsageError, match="trained with phi 'lcm', and this is 'ddim'"):
        Rho(4).save(tmp_path / "rho.safetensors", model, **facts | {"phi": "lcm"})
        fast(model, x)
    with pytest.raises(SetupError, match="no trained rho for 'tiny-sd1' ships: make one with `unlearnable train-ldu`"):
        strengths.protection("ldu-fast", "paper")(model, x)


@pytest.mark.parametrize("decode", ["difference", "plain"])
def test_what_is_decoded_is_what_section_six_says(decode):
    model = tiny()
    x, c = seen_by(model), model.condition([PROMPT])
    course = Course(replace(ROUTE, decode=decode), model, PROMPT)
    z = course.start(x)
    shift = 0.1 * torch.randn(z.shape, generator=generator("shift"))
    with torch.no_grad():
        ends = []
        for start in (z, z + shift):  # by hand: two steps from a quarter of the schedule
            for t, s in ((249, 124), (124, -1)):
                t, s = torch.full([2], t), torch.full([2], s)
                start = model.jump(start, t, s, model.predict(start, t, c))
            ends.append(model.decode(start))
        change = course.change(course.arrive(z + shift), course.origin(x, z))
    wanted = ends[1] - ends[0] if decode == "difference" else ends[1] - x
    assert torch.allclose(change, wanted, atol=1e-5)


@pytest.mark.parametrize("family", ["sd1", "sd2", "sd3"])
def test_rho_gets_its_gradient_through_all_k_steps(family):
    """Finite differences of the whole objective in a weight of rho's last layer, k = 4."""
    model = tiny(family)
    x = seen_by(model)
    course = Course(replace(ROUTE, k=4, t_start=0.5), model, PROMPT)
    z, rho, c = course.start(x), Rho(model.latent_shape(32, 32)[0], width=8), model.condition([PROMPT])
    rho.network.conv_out.weight.data.normal_(0, 0.02, generator=generator("rho"))
    origin = course.origin(x, z)
    noise, t = torch.randn(z.shape, generator=generator("noise")), torch.tensor([500, 200])

    def objective():
        y = x + course.change(course.arrive(z + rho(z)), origin)
        return denoising(model, y, Batch(t, noise, c)).sum()

    objective().backward()
    weight = rho.network.conv_out.weight
    gradient = weight.grad.clone()
    way = gradient / gradient.norm()
    with torch.no_grad():
        values = []
        for step in (0.001, -0.002):
            weight += step * way
            values.append(float(objective()))
    assert float(gradient.norm()) == pytest.approx((values[0] - values[1]) / 0.002, rel=0.01)


def test_a_move_follows_the_gradient_and_the_budget_holds():
    model = tiny("sd2")
    for settings in (SHORT, adjusted(SHORT, optimiser="normalised"), adjusted(SHORT, residual=0.3)):
        here, shift = scene(model), settings.parameterisation
        change = Trajectory(shift, Course(shift.route, model, PROMPT), here, None, 1)
        aim = torch.randn(here.x.shape, generator=generator("aim"))
        gains = []
        for _ in range(8):
            gains.append(float((aim * change.delta).sum()))
            change.move(aim)
            assert (change.delta.square().flatten(1).mean(1).sqrt() * 255 <= here.constraint.radius + 1e-3).all()
            assert torch.allclose(change.seen, here.x + change.delta)
        assert gains == sorted(gains), gains
        assert (change.dual.value > 0).any(), "eight tenths of a budget and a start break it somewhere"


def test_a_network_moves_too_and_the_latent_variant_sees_latents():
    model = tiny()
    shift = adjusted(strengths.protection("ldu-paper", "paper"), k=2, width=8, inversion=3).parameterisation
    change = Trajectory(shift, Course(shift.route, model, PROMPT), scene(model), None, 1)
    assert isinstance(change.shift, Rho) and change.seen.shape == (2, 4, 8, 8) and change.dual.value.shape == (1, 1)
    before = change.seen
    aim = torch.randn(before.shape, generator=generator("aim"))
    for _ in range(10):
        change.move(aim)
    assert float((aim * (change.seen - before)).sum()) > 0


def test_masks_grey_pictures_and_linf_hold():
    model = tiny()
    x = pictures(2, seed=9)
    x[1] = x[1].mean(0, keepdim=True)
    mask = torch.zeros(2, 1, 32, 32)
    mask[..., :16] = 1
    y = adjusted(SHORT, constraint=LinfConstraint(6), residual=0.2)(model, x, prompt=PROMPT, mask=mask)
    assert torch.equal(y[..., 16:], x[..., 16:]) and ((y - x)[..., :16].abs() * 255).max() > 1
    assert ((y - x).abs() * 255).max() <= 6.001 and (y[1] == y[1, :1]).all()


def test_a_picture_is_protected_as_it_is_alone():
    """Batch mates change nothing beyond float error, which a few steps have not yet enlarged."""
    model, x = tiny(), pictures(2, seed=9)
    settings = adjusted(SHORT, optimiser="normalised", steps=2)
    together, alone = settings(model, x, prompt=PROMPT), settings(model, x[1:2], prompt=PROMPT)
    assert torch.allclose(together[1:2], alone, atol=2e-4)
    assert torch.equal(settings(model, x, prompt=PROMPT, seed=1), settings(model, x, prompt=PROMPT, seed=1))
    assert not torch.equal(settings(model, x, prompt=PROMPT, seed=1), together)


def test_phi_is_loaded_once_for_a_model_and_not_for_its_copies():
    model = tiny()
    assert phi_of("ddim", model) is phi_of("ddim", model)
    assert phi_of("ddim", model.copy()) is not phi_of("ddim", model)
    assert "plain DDIM" in SHORT.remark(model)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"decode": "twice"}, "unknown decode 'twice': use difference or plain"),
        ({"shift": "sideways"}, "unknown shift 'sideways'"),
        ({"start": "sign"}, "unknown start 'sign'"),
        ({"optimiser": "sgd"}, "unknown optimiser 'sgd'"),
        ({"residual": 1.5}, "residual 1.5: give a share"),
        ({"residual": 0.5, "latent": True}, "0 for the latent variant"),
        ({"start": "rho", "shift": "network"}, "cannot start from rho"),
        ({"inversion": 0}, "inversion 0"),
    ],
)
def test_settings_that_make_no_sense(changes, sentence):
    with pytest.raises(UsageError, match=sentence):
        adjusted(SHORT, **changes)


def test_pictures_that_do_not_fit_are_one_sentence():
    model = tiny()
    with pytest.raises(UsageError, match="sides must be multiples of 4"):
        SHORT(model, torch.rand(1, 3, 2, 2))
    with pytest.raises(UsageError, match="k 3 is not a power of two"):
        adjusted(SHORT, k=3)(model, seen_by(model))


def test_rho_takes_latents_of_any_size():
    rho = Rho(4, width=8)
    for size in ((8, 8), (7, 5), (1, 3)):
        assert rho(torch.randn(2, 4, *size)).shape == (2, 4, *size)
        assert not rho(torch.randn(2, 4, *size)).any(), "its last layer starts at zero"
