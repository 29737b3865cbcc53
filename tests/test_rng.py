"""Every draw is named: it depends on its name and on nothing else."""

import torch
from torch.testing import assert_close

from unlearnable import rng


def test_a_row_depends_on_its_key_and_not_on_its_neighbours():
    together = rng.normal(["a", "b", "c"], (3, 4), 7, "noise")
    assert torch.equal(rng.normal(["c", "a"], (3, 4), 7, "noise"), together[[2, 0]])
    assert not torch.equal(together[0], together[1])


def test_every_part_of_the_name_counts():
    names = [(1, "noise", 2), (2, "noise", 1), (1, "time", 2), (1, "noise", 3), (12, "noise"), (1, "2", "noise")]
    draws = [float(rng.uniform(["key"], (), *name)) for name in names]
    assert len(set(draws)) == len(draws)


def test_draws_do_not_touch_the_global_generator():
    before = torch.get_rng_state()
    rng.normal(["a"], (4,), 0)
    rng.uniform(["a"], (4,), 0)
    with rng.seeded(0):
        torch.randn(9)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_seeded_block_repeats_itself_and_survives_an_error():
    before = torch.get_rng_state()
    draws = []
    for name in ("x", "x", "y"):
        with rng.seeded(3, name):
            draws.append(float(torch.rand(())))
    assert draws[0] == draws[1] != draws[2]
    try:
        with rng.seeded(3):
            raise KeyError
    except KeyError:
        assert torch.equal(torch.get_rng_state(), before)


def test_the_distributions_are_what_they_say():
    noise = rng.normal(["a", "b"], (20_000,), 0)
    flat = rng.uniform(["a", "b"], (20_000,), 0)
    assert_close(noise.mean(1), torch.zeros(2), rtol=0, atol=0.03)
    assert_close(noise.std(1), torch.ones(2), rtol=0, atol=0.03)
    assert flat.min() >= 0 and flat.max() < 1
    assert_close(flat.mean(1), torch.full((2,), 0.5), rtol=0, atol=0.01)
    assert abs(float(torch.corrcoef(noise)[0, 1])) < 0.03


def test_image_keys_are_the_content_on_the_8_bit_grid():
    x = torch.rand(3, 3, 8, 8, generator=rng.generator("pictures"))
    keys = rng.image_keys(x)
    grid = (x * 255).round() / 255
    assert keys == rng.image_keys(grid) and len(set(keys)) == 3
    assert rng.image_keys(grid.flip(0)) == keys[::-1]
    grid[1, 0, 0, 0] += 1 / 255 if grid[1, 0, 0, 0] < 0.5 else -1 / 255
    assert [a == b for a, b in zip(keys, rng.image_keys(grid))] == [True, False, True]


def test_pictures_of_equal_bytes_and_other_shape_have_other_keys():
    flat = torch.zeros(1, 3, 4, 8)
    assert rng.image_keys(flat) != rng.image_keys(flat.view(1, 3, 8, 4))


def test_plain_draws_are_named_too():
    assert rng.plain("t", 1).random() == rng.plain("t", 1).random() != rng.plain("t", 2).random()
