"""Budgets against their closed forms, and a multiplier that does what duality says."""

from dataclasses import replace

import pytest
import torch

from unlearnable.errors import UsageError
from unlearnable.ldu import lagrangian
from unlearnable.ldu.lagrangian import Dual, spent, steepest
from unlearnable.ldu.methods import ldu
from unlearnable.metrics.fidelity import features_distance
from unlearnable.models.features import FeatureNetwork
from unlearnable.protection import perceptual
from unlearnable.protection.constraints import L2Constraint, LinfConstraint, psnr
from unlearnable.protection.perceptual import PerceptualConstraint
from unlearnable.rng import generator, seeded

x = torch.rand(2, 3, 24, 20, generator=generator("x"))
delta = torch.randn(2, 3, 24, 20, generator=generator("delta")) / 60


@pytest.fixture
def network(monkeypatch):
    """A feature network of random weights: distances must agree whatever it has learnt."""
    with seeded("features"):
        network = FeatureNetwork(["a", "b"]).eval().requires_grad_(False)
    monkeypatch.setattr(perceptual, "network", lambda device: network)
    monkeypatch.setattr(lagrangian, "network", lambda device: network)
    return network


def test_what_is_spent_is_one_at_the_budget():
    at_budget = L2Constraint(3.0).start(delta)
    assert torch.allclose(spent(L2Constraint(3.0), x, at_budget), torch.ones(1, 2))
    assert torch.allclose(spent(L2Constraint(3.0), x, 2 * at_budget), torch.full([1, 2], 4.0))
    assert torch.allclose(spent(LinfConstraint(6), x, LinfConstraint(6).start(delta)), torch.ones(1, 2))
    wild = spent(LinfConstraint(6), x, delta)[0] * 6
    assert (wild <= (delta * 255).abs().flatten(1).amax(1)).all() and (wild > 2 * (delta * 255).std()).all()


def test_the_perceptual_distance_is_the_metric(network):
    y = (x + delta).clamp(0, 1)
    used = spent(PerceptualConstraint(0.5, rms=8), x, delta)
    assert torch.allclose(used[0].double(), features_distance(y, x, network) / 0.5, rtol=1e-4)
    assert torch.allclose(used[1], delta.square().flatten(1).mean(1) * (255 / 8) ** 2)
    move = delta.clone().requires_grad_(True)
    spent(PerceptualConstraint(0.5), x, move).sum().backward()
    assert move.grad is not None and move.grad.abs().sum() > 0


def test_perceptual_projection_and_sealing_use_the_budget_and_no_more(network):
    whole = float(features_distance((x + delta).clamp(0, 1), x, network).min())
    budget = PerceptualConstraint(whole / 3, rms=20)
    inside = budget.project(x, delta)
    far = features_distance((x + inside).clamp(0, 1), x, network)
    assert (far <= whole / 3 + 1e-5).all() and (far > 0.95 * whole / 3).all()
    levels = (x[0] * 255).round()
    sealed = budget.seal(levels, delta[0] * 255)
    assert torch.equal(sealed, sealed.round()) and budget.is_satisfied(sealed, levels)
    assert not budget.is_satisfied((1.3 * sealed).round(), levels)
    roomy = PerceptualConstraint(100.0, rms=3.0)
    assert torch.allclose(roomy.project(x, delta), L2Constraint(3.0).project(x, delta))
    assert "perceptual distance <= 100" in roomy.describe()


def test_the_multiplier_rises_when_broken_and_falls_to_zero_when_slack():
    dual = Dual(torch.zeros(1, 2), rate=0.5)
    broken, slack = torch.tensor([[1.4, 3.0]]), torch.tensor([[0.5, 0.9]])
    values = []
    for used in (broken, broken, slack, slack, slack, slack, slack):
        dual.ascend(used)
        values.append(dual.value.clone())
    assert torch.allclose(values[0], torch.tensor([[0.2, 1.0]])) and (values[1] > values[0]).all()
    assert (values[2] < values[1]).all()
    assert values[-1][0, 0] == 0 and values[-1][0, 1] > 0
    assert torch.allclose(Dual(torch.tensor([[2.0]]), 1).penalty(broken), torch.tensor([0.8, 4.0]))
    shared = Dual(torch.zeros(1, 1), rate=1.0)
    shared.ascend(torch.tensor([[3.0, 1.0]]))
    assert shared.value.item() == pytest.approx(1.0), "one multiplier sees the mean"


@pytest.mark.parametrize("budget", [L2Constraint(4.0), psnr(36.1)])
def test_dual_ascent_finds_the_constrained_optimum(budget):
    """The largest ``<g, delta>`` within an L2 ball is ``b g / |g|``, where the scaled multiplier is one."""
    gradient = torch.randn(x.shape, generator=generator("g"))
    value = torch.zeros_like(x).requires_grad_(True)
    optimiser = torch.optim.SGD([value], lr=1.0)
    dual = Dual(torch.zeros(1, 2), rate=0.05)
    step = (budget.radius / 255) ** 2 * x[0].numel() * 0.1
    for _ in range(250):
        used = spent(budget, x, value)
        loss = dual.penalty(used).sum() - (steepest(budget, gradient) * value).sum()
        optimiser.zero_grad()
        loss.backward()
        value.grad *= step
        optimiser.step()
        dual.ascend(used.detach())
    assert torch.allclose(value, L2Constraint(budget.radius).start(gradient), atol=0.05 * budget.radius / 255)
    assert torch.allclose(dual.value[-1], torch.ones(2), atol=0.05)


def test_steepest_has_one_size_whatever_the_objective():
    gradient = torch.randn(x.shape, generator=generator("g"))
    gradient[1] *= 1e-9
    one = steepest(L2Constraint(4.0), gradient)
    assert torch.allclose(one[0].norm(), one[1].norm()) and torch.allclose(
        one, steepest(L2Constraint(4.0), 7 * gradient)
    )


@pytest.mark.parametrize("constraint", [LinfConstraint(0.5), psnr(90), L2Constraint(0.01)])
def test_a_budget_that_cannot_be_met_is_one_sentence(constraint):
    with pytest.raises(UsageError, match="cannot be met by any change of 8-bit pictures: give"):
        replace(ldu.PAPER, constraint=constraint)
    with pytest.raises(UsageError, match="allows no change"):
        PerceptualConstraint(0.0)
