"""The max-min game against a textbook version, on fixed noise; killed anywhere; pictures that come later; nonsense."""

import random

import pytest
import torch

from tiny import PROMPT, adapt, build, pictures
from unlearnable.errors import UnlearnableError, UsageError
from unlearnable.models.finetune import checkpoint
from unlearnable.protection.adjust import adjusted
from unlearnable.protection.constraints import LinfConstraint, psnr
from unlearnable.protection.engine import Protection
from unlearnable.protection.estimator import Estimator
from unlearnable.protection.game import GameSettings
from unlearnable.protection.maxmin import Game, Protected, SetTrainer
from unlearnable.protection.methods import eudp, udp
from unlearnable.protection.objectives import Objective, denoising
from unlearnable.protection.parameterisation import Pixels
from unlearnable.protection.probe import interpolated, magnitudes, middle
from unlearnable.protection.records import NEVER, Deltas, Records, Views
from unlearnable.protection.surrogates import view
from unlearnable.protection.timesteps import TimestepDistribution, draw, probabilities
from unlearnable.rng import image_keys, name_seed, normal, uniform

TIMES = Estimator(TimestepDistribution("ab"))
SETTINGS = GameSettings(train=2, learn=3, lr=2e-3, warmup=1)
QUICK = Protection(
    "quick",
    constraint=LinfConstraint(16),
    parameterisation=Pixels(0.3),
    estimator=TIMES,
    game=SETTINGS,
    steps=2,
    rounds=3,
)
SEED = 5


def model_of(family):
    return adapt(build(family), f"tiny-{family}")


def game(settings, model, x, folder, **options):
    views = Views(folder / "views", image_keys(x), [tuple(p.shape) for p in x])
    for i, picture in enumerate(x):
        views.put(i, picture, torch.ones_like(picture[:1]))
    return Game(settings, model, views, folder, **{"prompt": PROMPT, "seed": SEED, "batch": 2, "run": "1"} | options)


@pytest.mark.parametrize("scratch", [True, False])
@pytest.mark.parametrize("family", ["ddpm", "sd1"])
def test_inner_and_outer_steps_against_the_textbook(family, scratch, tmp_path):
    model = model_of(family)
    x, b = pictures(5, seed=4, side=model.size), 16 / 255
    ours = game(adjusted(QUICK, cool=scratch), model, x, tmp_path, scratch=scratch)
    ours._start()  # turn by turn, each from where ours stands: rounds of feedback would enlarge what kernels differ by

    keys, p = image_keys(x), probabilities("ab", model.schedule)
    theta, text = model.copy(scratch=scratch, seed=SEED), model.condition([PROMPT])
    weights = list(theta.denoiser.requires_grad_(True).parameters())
    optimiser = torch.optim.AdamW(weights, 2e-3, weight_decay=0.0 if scratch else 1e-2)
    rate = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0 if scratch else 1.0, total_iters=7)

    def loss(y, t, noise):
        z = theta.encode(y)
        ab = model.schedule.alpha_bar[t].view(-1, 1, 1, 1)
        return (theta.predict(ab.sqrt() * z + (1 - ab).sqrt() * noise, t, text) - noise).square()

    def now(turn):
        return torch.stack([ours.deltas.get(i, turn) for i in range(5)])

    shape = model.latent_shape(model.size, model.size)
    delta = (2 * uniform(keys, x.shape[1:], "start", SEED) - 1) * b
    delta, step = (x + delta).clamp(0, 1) - x, 0
    assert same(now(0), delta, b / 127) == 1
    for turn in range(3):
        delta, before = now(turn), [w.detach().clone() for w in weights]  # eight bits on disk
        for _ in range(2 if turn else 3):
            rng = torch.Generator().manual_seed(name_seed(SEED, "train", step))
            rows = torch.randperm(5, generator=rng)[:3]
            t = torch.randint(1000, (3,), generator=rng)
            noise = normal([keys[i] for i in rows], shape, SEED, "train", step)
            optimiser.zero_grad()
            loss((x + delta)[rows], t, noise).mean().backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimiser.step()
            rate.step()
            step += 1
        ours._train(turn, lambda share: None)
        moves, theirs = (
            torch.cat([(new.detach() - old).flatten() for new, old in zip(set, before)])
            for set in (ours.trainer.parameters, weights)
        )
        full = theirs.abs().max()
        sure = theirs.abs() > full / 3  # Adam makes full steps of gradients of about zero, either way
        assert sure.float().mean() > 0.3 and same(moves[sure], theirs[sure], full / 10) > 0.97
        with torch.no_grad():
            for their, own in zip(weights, ours.trainer.parameters):
                their.copy_(own)
        sure = torch.ones_like(x, dtype=torch.bool)
        for k in (2 * turn, 2 * turn + 1):
            y = (x + delta).requires_grad_(True)
            t, noise = draw(p, keys, "time", SEED, k, 0), normal(keys, shape, "noise", SEED, k, 0)
            (gradient,) = torch.autograd.grad(loss(y, t, noise).mean(), y)
            sure &= gradient.abs() > 0.02 * gradient.abs().mean()  # one of about zero may take either sign
            delta = (x + (delta + 0.3 * b * gradient.sign()).clamp(-b, b)).clamp(0, 1) - x
        ours._ascend(turn, lambda share: None)
        found = now(turn + 1)
        assert sure.float().mean() > 0.8 and same(found[sure], delta[sure], b / 127) > 0.99
        assert float(found.abs().max()) <= b + 1e-6


def same(one, two, within):
    """The share of elements that are equal up to `within`."""
    return float(((one - two).abs() < within).float().mean())


class Killed(BaseException):
    """As a kill: nothing catches it, nothing tidies up."""


def test_killed_anywhere_ends_with_the_same_bits(tmp_path, monkeypatch):
    model, dice = model_of("ddpm"), random.Random(0)
    x = pictures(5, seed=4, side=16)
    settings = adjusted(QUICK, law="measured", stratified=True, antithetic=True, eot_samples=2, cool=True)
    whole = game(settings, model, x, tmp_path / "whole", scratch=True)
    whole.play()
    monkeypatch.setattr(checkpoint, "EVERY", -1.0)
    monkeypatch.setattr(checkpoint, "SHARE", 1e9)  # the state is written behind every step
    fuse, deaths = [0], 0

    def burning(function):
        def burns(*args):
            fuse[0] -= 1
            if fuse[0] == 0:
                raise Killed
            return function(*args)

        return burns

    monkeypatch.setattr(Records, "write", burning(Records.write))
    monkeypatch.setattr(SetTrainer, "_step", burning(SetTrainer._step))
    while True:
        fuse[0] = 0
        parts = game(settings, model, x, tmp_path / "parts", scratch=True)
        fuse[0] = dice.randint(2, 9)
        try:
            parts.play()
            break
        except Killed:
            deaths += 1
    assert deaths >= 3
    for i in range(5):
        assert torch.equal(parts.delta(i), whole.delta(i))
    assert all(torch.equal(a, b) for a, b in zip(parts.trainer.parameters, whole.trainer.parameters))
    late = pictures(1, seed=99, side=16)
    added = [g.add(late, torch.ones(1, 1, 16, 16), image_keys(late)) for g in (whole, parts)]
    assert torch.equal(*added)


def test_a_later_picture_ascends_as_the_engine_would_against_the_last_surrogate(tmp_path):
    model = model_of("ddpm")
    played = game(QUICK, model, pictures(4, seed=4, side=16), tmp_path, scratch=True)
    played.play()
    late, allowed = pictures(2, seed=99, side=16), torch.ones(2, 1, 16, 16)
    engine = Protection("engine", Objective(denoising), LinfConstraint(16), Pixels(0.3), TIMES, steps=6)
    expected = engine(played.trainer.model, late, prompt=PROMPT, seed=SEED) - late
    assert torch.allclose(played.add(late, allowed, image_keys(late)), expected, atol=1e-6)


def test_order_and_batches_do_not_matter(tmp_path):
    model, x = model_of("ddpm"), pictures(5, seed=4, side=16)
    settings = adjusted(QUICK, train=0, warmup=0)  # which pictures are in a training batch depends on the order
    one = game(settings, model, x, tmp_path / "one")
    two = game(settings, model, x.flip(0), tmp_path / "two", batch=5)
    one.play()
    two.play()
    same = [(one.delta(i) - two.delta(4 - i)).abs() < 16 / 255 / 127 for i in range(5)]
    assert torch.stack(same).float().mean() > 0.99


def test_measured_magnitudes_time_by_time():
    model = model_of("sd1")
    x, shown = pictures(2, seed=4), view(model, PROMPT)
    found = magnitudes(QUICK.objective, shown, [x[:1], x[1:]], ["a", "b"], SEED, bins=4)
    for b in range(4):
        expected = 0.0
        for picture, key in ((x[:1], "a"), (x[1:], "b")):
            y = picture.clone().requires_grad_(True)
            t, noise = torch.tensor([125 + 250 * b]), normal([key], (4, 8, 8), "probe", SEED, b)
            ab = model.schedule.alpha_bar[t]
            z_t = ab.sqrt() * model.encode(y) + (1 - ab).sqrt() * noise
            (gradient,) = torch.autograd.grad((model.predict(z_t, t, shown.condition) - noise).square().mean(), y)
            expected += float(gradient.square().mean().sqrt()) / 2
        assert float(found[b]) == pytest.approx(expected, rel=1e-4)
    p = interpolated(found, 1000)
    assert float(p.sum()) == pytest.approx(1) and (p >= 0).all() and float(p[0] / p[125]) == pytest.approx(1)
    assert float(p[middle(3, 4, 1000)] / p[125]) == pytest.approx(float(found[3] / found[0]))
    assert float(p[250] / p[125]) == pytest.approx(float((found[0] + found[1]) / 2 / found[0]))


def test_records_that_were_cut_short_are_not_taken_for_whole(tmp_path):
    shelf = Records(tmp_path / "shelf", [3, 5])
    assert shelf.turn(0) == shelf.turn(1) == NEVER
    shelf.write(1, 7, b"12345")
    assert shelf.turn(0) == NEVER and shelf.turn(1) == 7 and bytes(shelf.read(1)) == b"12345"
    with (tmp_path / "shelf").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"6")
    assert shelf.turn(1) == NEVER
    kept = Deltas(tmp_path, [(3, 2, 2)], 8 / 255)
    delta = torch.linspace(-8, 8, 12).view(3, 2, 2) / 255
    kept.put(0, 1, delta)
    assert kept.has(0, 1) and not kept.has(0, 0) and not kept.has(0, 3)
    assert (kept.get(0, 1) - delta).abs().max() <= 8 / 255 / 127 / 2 + 1e-8
    assert float(kept.get(0, 1).abs().max()) == pytest.approx(8 / 255), "the bound itself is kept exactly"


def test_presets_are_games_and_eudp_has_a_law():
    assert udp.PAPER.game and eudp.PAPER.game
    assert udp.PAPER.estimator.times.law == "uniform" != eudp.PAPER.estimator.times.law
    assert [QUICK.game.steps_until(turn, True) for turn in range(3)] == [3, 5, 7]
    assert (
        adjusted(QUICK, warmup=-1).game.steps_until(0, True)
        > adjusted(QUICK, warmup=-1).game.steps_until(0, False)
        == 2
    )


def test_nonsense_is_one_sentence_and_what_was_done_is_kept(tmp_path):
    model, x = model_of("ddpm"), pictures(3, seed=4, side=16)
    with pytest.raises(UsageError, match=r"not PSNR >= 36.00 dB: give eps"):
        game(adjusted(QUICK, constraint=psnr(36)), model, x, tmp_path / "psnr")
    with pytest.raises(UsageError, match="unknown timestep law 'unifrom': did you mean 'uniform'"):
        adjusted(QUICK, law="unifrom")
    with pytest.raises(UsageError, match="learn 0 is too small"):
        adjusted(QUICK, learn=0)
    started = game(adjusted(QUICK, rounds=1), model, x, tmp_path / "nan")
    started._start()
    started._train(0, lambda share: None)
    with torch.no_grad():
        started.trainer.parameters[0].fill_(float("nan"))
    with pytest.raises(UnlearnableError, match=r"training diverged at step 3.*lower the learning rate"):
        started.trainer.run(
            Protected(started.trainer.model, started.views, started.deltas, 0), started.view.condition, 1
        )
    again = game(adjusted(QUICK, rounds=1), model, x, tmp_path / "nan")
    again.play()
    assert torch.isfinite(torch.stack([again.delta(i) for i in range(3)])).all()
