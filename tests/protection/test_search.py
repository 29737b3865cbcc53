"""SimAC's search against a loop over Python sets, and its feature term against the stock network by hand."""

import pytest
import torch

from tiny import PROMPT, fitted, pictures
from unlearnable.errors import UsageError
from unlearnable.models.base import Condition
from unlearnable.protection import strengths
from unlearnable.protection.adjust import adjusted
from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.features import FeatureShift
from unlearnable.protection.objectives import Batch, Objective, denoising
from unlearnable.protection.parameterisation import Scene
from unlearnable.protection.search import searched
from unlearnable.protection.surrogates import View
from unlearnable.protection.timesteps import draw
from unlearnable.rng import normal, uniform

KEYS = ["one", "two"]


def bump(t):
    """How strongly the made-up objective pulls at time t: more in the middle, never twice the same."""
    return 1 + (t / 1000) * (1 - t / 1000) + t / 1e6


def by_hand(key, allowed):
    """Algorithm 1 for one picture: a set of times, five of it a round, 41 dropped around the weakest."""
    left = set(allowed)
    for turn in range(50):
        if len(left) <= 100:
            break
        lots = uniform([key], (1000,), "search", 5, turn)[0]
        five = sorted(left, key=lambda t: -float(lots[t]))[:5]
        weakest = min(five, key=bump)
        left -= set(range(weakest - 20, weakest + 21))
    return left


@pytest.mark.parametrize("allowed", [range(1000), range(300), range(60)])
def test_the_search_against_a_loop_over_sets(allowed):
    model, x = fitted("sd1"), pictures(2)
    objective = Objective(lambda model, x, batch: bump(batch.t) * x.flatten(1).sum(1))
    p = torch.zeros(1000, dtype=torch.double)
    p[list(allowed)] = 1 / len(allowed)
    scene = Scene(x, KEYS, torch.ones_like(x[:, :1]), LinfConstraint(8), PROMPT, 5)
    found = searched(objective, View(model, Condition()), scene, p, None)
    for row, key in zip(found, KEYS):
        left = by_hand(key, allowed)
        assert set(row.nonzero().flatten().tolist()) == left and len(left) <= max(100, len(allowed) // 2)
        assert torch.allclose(row[row > 0], torch.tensor(1 / len(left), dtype=torch.double))
    assert not torch.equal(*found) or len(allowed) < 100, "each picture has a search of its own"


def test_each_picture_draws_from_its_own_law():
    p = torch.zeros(3, 10, dtype=torch.double)
    p[0, 2], p[1, 7], p[2, 3:5] = 1, 1, 0.5
    t = torch.stack([draw(p, ["a", "b", "c"], i) for i in range(60)], 1)
    assert (t[0] == 2).all() and (t[1] == 7).all() and set(t[2].tolist()) == {3, 4}
    alone = draw(p[2], ["c"] * 1, 9)
    assert torch.equal(alone, draw(p, ["a", "b", "c"], 9)[2:])


def test_the_feature_term_by_hand():
    """The stock network's last up-block run by itself, from what the layers before it hand over."""
    model, x = fitted("sd1"), pictures(2, seed=3).double()
    net = model.pipe.unet
    t, noise = torch.tensor([100, 700]), normal(["a", "b"], (4, 8, 8), "n")
    y = (x + 0.03 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1).float()
    text = model.pipe.encode_prompt([PROMPT], "cpu", 1, False)[0].expand(2, -1, -1)
    ab = model.pipe.scheduler.alphas_cumprod[t].view(-1, 1, 1, 1)
    blocks, losses = [], []
    for shown in (x.float(), y):
        inputs = []
        hook = net.up_blocks[-1].register_forward_pre_hook(
            lambda m, args, kwargs, inputs=inputs: inputs.append(kwargs), with_kwargs=True
        )
        z_t = ab.sqrt() * model.vae.encode(2 * shown - 1).latent_dist.mean + (1 - ab).sqrt() * noise
        answer = net(z_t, t, text).sample
        hook.remove()
        given = inputs[0]
        hidden, skips, outs = given["hidden_states"], list(given["res_hidden_states_tuple"]), []
        for resnet in net.up_blocks[-1].resnets:
            hidden = resnet(torch.cat([hidden, skips.pop()], 1), given["temb"])
            outs.append(hidden)
        blocks.append(outs)
        losses.append((answer - noise).square().flatten(1).mean(1))
    expected = losses[1] + 100 * sum((a - b).square().flatten(1).mean(1) for a, b in zip(*blocks))
    goal = model.encode(x.float())
    ours = FeatureShift(100)(model, y, Batch(t, noise, model.condition([PROMPT]), goal))
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)
    assert (expected - losses[1] > 1e-3).all()


def test_any_method_can_search_and_a_game_cannot():
    model, x = fitted("sd1"), pictures(1)
    plain = adjusted(strengths.protection("advdm", "paper"), steps=2, span=(0.3, 0.5))
    assert not torch.equal(plain(model, x, prompt=PROMPT), adjusted(plain, search=True)(model, x, prompt=PROMPT))
    from unlearnable.protection.maxmin import Game

    with pytest.raises(UsageError, match="search=true is for pictures by themselves"):
        Game(adjusted(strengths.protection("udp"), search=True), model, None, None)


def test_transformers_have_no_such_features():
    with pytest.raises(UsageError, match="sd3 model has no up-blocks"):
        strengths.protection("simac")(fitted("sd3"), pictures(1))
    searching = adjusted(Protection("plain", Objective(denoising), steps=1), search=True, span=(0.3, 0.5))
    assert searching(fitted("sd3"), pictures(1), prompt=PROMPT).shape == (1, 3, 32, 32)
