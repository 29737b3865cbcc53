"""Inversion undoes denoising, on closed forms and on all six families; gradients are those of finite differences."""

from itertools import pairwise

import pytest
import torch
from toy import LinearFlow

from tiny import FAMILIES, PROMPT, adapt, build
from unlearnable.models.base import Condition
from unlearnable.models.invert import coefficients, denoise, descent, invert
from unlearnable.models.schedule import CLEAN
from unlearnable.rng import generator

NONE = Condition()


def latents(family, count=2):
    """A model of random weights, which will do here: whatever it answers, its trajectories can be followed back."""
    model = adapt(build(family), f"tiny-{family}")
    z = torch.randn(count, *model.latent_shape(16, 16), generator=generator(family))
    return model, z, model.condition([PROMPT])


@pytest.fixture
def linear():
    matrix = torch.randn(3, 3, generator=generator("velocity"), dtype=torch.float64)
    return LinearFlow(matrix), matrix, torch.randn(4, 3, generator=generator("points"), dtype=torch.float64)


@pytest.mark.parametrize("steps", [1, 4, 16])
def test_linear_velocity_has_the_closed_form_of_eulers_method(linear, steps):
    model, matrix, z = linear
    times, one = descent(model.schedule, steps), torch.eye(3, dtype=torch.float64)
    down = torch.linalg.matrix_power(one - matrix / steps, steps)
    up = torch.linalg.matrix_power(one + matrix / steps, steps)
    assert torch.allclose(denoise(model, z, NONE, times), z @ down.T, atol=1e-9)
    assert torch.allclose(invert(model, z, NONE, times), z @ up.T, atol=1e-9)
    if steps > 1:  # contracts where |M| / steps < 1
        exact = z @ torch.linalg.inv(down).T
        assert torch.allclose(invert(model, z, NONE, times, refine=200), exact, atol=1e-6)


def test_linear_velocity_tends_to_the_exponential(linear):
    model, matrix, z = linear
    goal = z @ torch.linalg.matrix_exp(matrix).T
    errors = [float((invert(model, z, NONE, descent(model.schedule, n)) - goal).norm()) for n in (8, 32, 128, 512)]
    assert all(4.5 > a / b > 3.5 for a, b in pairwise(errors[1:])), errors  # first order: a quarter each time


def test_t_start_and_other_ends(linear):
    model, _, z = linear
    half = [*descent(model.schedule, 4, 511)[:-1], CLEAN]
    assert half == [511, 383, 255, 127, CLEAN]
    up = invert(model, z, NONE, half[:3], refine=100)  # from time 255, not from clean
    assert torch.allclose(denoise(model, up, NONE, half[:3]), z, atol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_coefficients_are_those_of_jump(family):
    model, z, _ = latents(family)
    t, s, out = torch.tensor([700, 40]), torch.tensor([CLEAN, 900]), torch.randn_like(z)
    a, b = coefficients(model.schedule, t, s, z)
    assert torch.allclose(a * z + b * out, model.jump(z, t, s, out), atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_there_and_back_and_the_error_falls_with_steps(family):
    model, z, c = latents(family)
    # A random eps network's mistakes grow by 1 / signal: t_start=1 is for networks that see the whole latent.
    top, errors = 449 if model.schedule.prediction == "eps" else None, {}
    for steps in (4, 16, 64):
        times = descent(model.schedule, steps, top)
        with torch.no_grad():
            back = denoise(model, invert(model, z, c, times), c, times)
        errors[steps] = float((back - z).square().mean().sqrt() / z.std())
    print(f"{family}: " + ", ".join(f"{n} steps {e:.4f}" for n, e in errors.items()))
    values = list(errors.values())
    assert values == sorted(values, reverse=True) and values[-1] < 0.05, errors


@pytest.mark.parametrize("family", ["sd1", "sd2", "sd3", "ddpm"])
def test_refinement_makes_few_steps_exact(family):
    model, z, c = latents(family)
    times = descent(model.schedule, 8, round(0.5 * len(model.schedule)) - 1)
    with torch.no_grad():
        errors = [float((denoise(model, invert(model, z, c, times, n), c, times) - z).abs().max()) for n in (0, 3, 12)]
    print(family, [f"{e:.5f}" for e in errors])
    assert errors[1] < 0.7 * errors[0] and errors[2] < 0.3 * errors[1], errors


@pytest.mark.parametrize("family", ["sd1", "sd2", "flux"])
def test_gradients_pass_through_all_steps(family):
    model, z, c = latents(family, 1)
    times = descent(model.schedule, 4)
    probe, move = (torch.randn(z.shape, generator=generator(name)) for name in ("probe", "move"))

    def value(z):
        return (denoise(model, z, c, times) * probe).sum()

    start = z.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(value(start), start)
    with torch.no_grad():
        numeric = (value(z + 0.01 * move) - value(z - 0.01 * move)) / 0.02
    assert float((gradient * move).sum()) == pytest.approx(float(numeric), rel=0.02)
