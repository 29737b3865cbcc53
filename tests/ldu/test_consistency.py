"""The shortcut loss against the paper's equations for flows, against a textbook version, and its closed form."""

import pytest
import torch
from toy import LinearFlow, flow_schedule

from tiny import FAMILIES, adapt, build
from unlearnable.ldu.consistency import CLIP, consistency_target, finest, jumps, sample_jumps, shortcut_loss
from unlearnable.models.schedule import CLEAN
from unlearnable.rng import generator


def test_the_grid_has_every_power_of_two_once():
    schedule = flow_schedule(256)
    table = jumps(schedule)
    assert len(table) == 255 and finest(schedule) == 7
    assert table[0].tolist() == [0, 255, 127, CLEAN]
    assert table[-1].tolist() == [7, 1, 0, CLEAN]
    sizes, counts = table[:, 0].unique(return_counts=True)
    assert torch.equal(counts, 2**sizes)
    assert torch.equal((table[:, 1] - table[:, 3]) * 2 ** table[:, 0], torch.full([255], 256))
    assert torch.equal(table[:, 1] - table[:, 2], table[:, 2] - table[:, 3])
    thousand = jumps(adapt(build("sd1"), "tiny").schedule)  # 1000 is no power of two
    assert (thousand[:, 1] > thousand[:, 2]).all() and (thousand[:, 2] > thousand[:, 3]).all()


def test_sizes_and_places_are_drawn_evenly():
    table = jumps(flow_schedule(256))
    rows = sample_jumps(table, 40000, generator("draws"))
    assert torch.bincount(rows[:, 0]).float().std() < 0.03 * 5000
    assert torch.bincount(rows[rows[:, 0] == 1][:, 1])[[127, 255]].float().div(2500).sub(1).abs().max() < 0.1


def test_for_flows_the_target_is_the_papers_mean_velocity():
    """Equation 4: ``s(x, t, 2d) = s(x, t, d) / 2 + s(x', t + d, d) / 2``."""
    schedule, rng = flow_schedule(64), generator("paper")
    z = torch.randn(9, 2, generator=rng, dtype=torch.float64) / 4

    def network(z_t, t, h):
        return torch.tanh(z_t * (1 + h[:, None]) + t[:, None] / 64)

    chosen = sample_jumps(jumps(schedule), 9, rng)
    h, t, middle, _ = chosen.unbind(1)
    d = ((t - middle).double() / 64)[:, None]
    first = network(z, t, h + 1)
    second = network(z - d * first, middle, h + 1)
    assert torch.allclose(consistency_target(schedule, network, z, chosen), (first + second) / 2)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_jump_with_the_target_lands_where_two_do(family):
    model = adapt(build(family), f"tiny-{family}")
    schedule, rng = model.schedule, generator(family)
    chosen = sample_jumps(jumps(schedule), 6, rng)
    z_t = torch.randn(6, 4, 3, 3, generator=rng)
    h, t, middle, s = chosen.unbind(1)

    def network(z, t, h):
        return 0.3 * torch.sin(z + h.view(-1, 1, 1, 1))

    half = schedule.jump(z_t, t, middle, network(z_t, t, h + 1))
    end = schedule.jump(half, middle, s, network(half, middle, h + 1))
    target = consistency_target(schedule, network, z_t, chosen)
    inside = (target.abs() < CLIP).flatten(1).all(1)
    assert inside.sum() >= 3
    assert torch.allclose(schedule.jump(z_t, t, s, target)[inside], end[inside], atol=1e-3)


def test_rows_learn_what_they_should():
    schedule, rng = flow_schedule(64), generator("rows")
    z, noise = torch.randn(2, 5, 2, generator=rng, dtype=torch.float64)
    t, chosen = torch.tensor([3, 9, 40, 60, 63]), torch.tensor([[1, 63, 47, 31], [5, 1, 0, CLEAN]])
    asked = []

    def student(z_t, t, h):
        asked.append(("student", t.tolist(), h.tolist()))
        return 0.5 * z_t

    def teacher(z_t, t, h):
        asked.append(("teacher", t.tolist(), h.tolist()))
        return torch.full_like(z_t, 0.25)

    loss = shortcut_loss(schedule, student, teacher, z, noise, t, chosen)
    assert asked == [
        ("teacher", [63, 1], [2, 6]),
        ("teacher", [47, 0], [2, 6]),
        ("student", [63, 1, 40, 60, 63], [1, 5, 6, 6, 6]),
    ]
    sigma = (torch.tensor([63, 1, 40, 60, 63]).double() + 1)[:, None] / 64
    z_t = (1 - sigma) * z + sigma * noise
    goal = torch.cat([torch.full([2, 2], 0.25, dtype=torch.float64), (noise - z)[2:]])
    assert torch.allclose(loss, (0.5 * z_t - goal).square().mean(1))


def test_a_teacher_cannot_be_followed_out_of_bounds():
    schedule, chosen = flow_schedule(64), torch.tensor([[0, 63, 31, CLEAN]])
    wild = consistency_target(
        schedule, lambda z, t, h: torch.full_like(z, 1e6), torch.zeros(1, 2, dtype=torch.float64), chosen
    )
    assert wild.max() == CLIP


def test_the_fixed_point_is_the_exact_solution():
    """For a linear velocity the network that every jump agrees with is the flow's own solution over that jump."""
    matrix = torch.tensor([[0.3, -0.5], [0.4, 0.1]], dtype=torch.float64)
    schedule = LinearFlow(matrix, 256).schedule

    def exact(z_t, t, h):  # mean velocity of dz/dsigma = M z over d, backwards
        rows = []
        for z, halved in zip(z_t, h.tolist()):
            d = 2.0**-halved
            rows.append((z - torch.linalg.matrix_exp(-matrix * d) @ z) / d)
        return torch.stack(rows)

    chosen = sample_jumps(jumps(schedule), 20, generator("exact"))
    z_t = torch.randn(20, 2, generator=generator("z"), dtype=torch.float64)
    assert torch.allclose(
        consistency_target(schedule, exact, z_t, chosen), exact(z_t, chosen[:, 1], chosen[:, 0]), atol=1e-9
    )
