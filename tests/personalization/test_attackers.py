"""What every attacker promises: it learns, on a copy, seeded, and goes on where it was stopped."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

import tiny
from unlearnable.errors import UsageError
from unlearnable.models.adapters import adapt
from unlearnable.models.base import Model, clip_pairs
from unlearnable.models.finetune import checkpoint
from unlearnable.models.finetune.training import fixed_losses
from unlearnable.personalization import presets
from unlearnable.personalization.learned import fit_of
from unlearnable.rng import uniform

PROMPT = "a photo of sks disc"
FAST = {
    "dreambooth": {"steps": 40, "lr": 2e-3, "token_lr": 1e-2, "augment": False},
    "lora": {"steps": 40, "lr": 1e-2, "token_lr": 1e-2, "text_lr": 1e-3, "augment": False},
    "textual-inversion": {"steps": 60, "lr": 5e-2, "augment": False},
    "custom-diffusion": {"steps": 40, "lr": 6e-2, "augment": False},
    "scratch": {"steps": 40, "lr": 2e-3, "fresh": False, "ema": 0.5, "cool": True},
}
# The tiny model was fitted under one prompt: words move its loss by 0.01 %, too little to tell whether one was learned.
# Textual Inversion is compared with stock diffusers step by step instead (`test_one_step.py`).
LEARNERS = [name for name in FAST if name != "textual-inversion"]
every_attacker = pytest.mark.parametrize("name", FAST)


def settings(name: str, **more):
    return replace(presets.attacker(name, tiny.fitted("sd1")), **(FAST[name] | more))


@cache
def subject() -> tuple[Tensor, Tensor]:
    """Eight views of one picture, half to learn and half held out: shifted by some pixels each."""
    x = tiny.pictures(1, seed=11, side=40)
    views = torch.cat([x[..., i : i + 32, 8 - i : 40 - i] for i in range(8)])
    return views[::2], views[1::2]


def everything(model: Model) -> list[Tensor]:
    return [p.detach().clone() for network in model.modules() for p in network.state_dict().values()]


@pytest.mark.parametrize("name", LEARNERS)
def test_it_learns_held_out_views_better_than_a_control_that_saw_noise(name):
    model, (seen, unseen) = tiny.fitted("sd1"), subject()
    noise = uniform([str(i) for i in range(len(seen))], seen.shape[1:], "control")
    learned, control = (settings(name).fit(model, x, PROMPT, seed=1).model for x in (seen, noise))
    before = fixed_losses(model, unseen, "a photo of disc").mean()
    after, other = (fixed_losses(m, unseen, PROMPT).mean() for m in (learned, control))
    assert after < 0.97 * before and after < other


def test_training_from_scratch_starts_at_random_and_learns_many_pictures():
    """Twelve pictures in batches of four; what it is compared with is the random network that it started from."""
    model, images = adapt(tiny.build("ddpm", seed=9), "tiny"), tiny.pictures(12, seed=5, side=16)
    scratch = replace(presets.attacker("scratch", model), steps=25, lr=3e-3, batch=4, ema=0.5)
    concept = scratch.fit(model, images, "", seed=3)
    start, random = model.copy(scratch=True, seed=3), fit_of(model, concept, images, seed=3)
    assert random.before == pytest.approx(float(fixed_losses(start, images, "", seed=3).mean()))
    assert random.gain > 0.2 and concept.losses[0] > 2 * concept.losses[-1] > 0
    again = [replace(scratch, steps=2).fit(model, images, "", seed=seed).losses for seed in (3, 4)]
    assert again[0] == concept.losses[:2] and again[1] != concept.losses[:2]


@every_attacker
def test_the_callers_model_is_bitwise_as_it_was(name):
    model = tiny.fitted("sd1")
    before, words = everything(model), [len(getattr(model.pipe, t)) for t, _ in clip_pairs(model.pipe)]
    concept = settings(name, steps=2).fit(model, subject()[0], PROMPT)
    concept.generate([PROMPT], steps=2)
    after = everything(model)
    assert len(after) == len(before) and all(torch.equal(a, b) for a, b in zip(after, before))
    assert [len(getattr(model.pipe, t)) for t, _ in clip_pairs(model.pipe)] == words
    assert not any(p.requires_grad for network in model.modules() for p in network.parameters())
    assert not any(p.requires_grad for network in concept.model.modules() for p in network.parameters())


@every_attacker
def test_an_interrupted_run_goes_on_with_the_same_bits(name, tmp_path):
    model, (seen, _), fast = tiny.fitted("sd1"), subject(), settings(name, steps=6)
    place, told = tmp_path / "run.safetensors", []

    def interrupt(done: int, total: int, loss: float) -> None:
        told.append((done, total))
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fast.fit(model, seen, PROMPT, checkpoint=place, progress=interrupt)
    resumed = fast.fit(model, seen, PROMPT, checkpoint=place, progress=lambda *at: told.append(at[:2]))
    assert told == [(i, 6) for i in range(1, 7)]
    straight = fast.fit(model, seen, PROMPT)
    assert resumed.losses == straight.losses
    again = fast.fit(model, seen, PROMPT, checkpoint=place, progress=lambda *at: told.append(at[:2]))
    assert len(told) == 6  # it is finished: nothing is trained
    for other in (resumed, again):
        assert all(torch.equal(a, b) for a, b in zip(everything(other.model), everything(straight.model)))


def test_a_run_that_was_killed_goes_on_from_what_was_written_last(tmp_path, monkeypatch):
    """A kill leaves no time to write: only the regular checkpoints count, here one behind every step."""
    model, (seen, _), fast = tiny.fitted("sd1"), subject(), settings("dreambooth", steps=5)
    place = tmp_path / "run.safetensors"
    monkeypatch.setattr(checkpoint, "EVERY", 0)
    monkeypatch.setattr(checkpoint, "SHARE", 1e9)

    def kill(done: int, total: int, loss: float) -> None:
        if done == 3:
            raise MemoryError

    with pytest.raises(MemoryError):
        fast.fit(model, seen, PROMPT, checkpoint=place, progress=kill)
    steps: list[int] = []
    resumed = fast.fit(model, seen, PROMPT, checkpoint=place, progress=lambda done, *_: steps.append(done))
    assert steps == [4, 5]
    straight = fast.fit(model, seen, PROMPT)
    assert all(torch.equal(a, b) for a, b in zip(everything(resumed.model), everything(straight.model)))


def test_an_interruption_inside_an_update_is_not_kept(tmp_path, monkeypatch):
    model, (seen, _), fast = tiny.fitted("sd1"), subject(), settings("lora", steps=3)
    step, torn = torch.optim.AdamW.step, []

    def tear(optimiser):
        step(optimiser)
        torn.append(optimiser)
        if len(torn) == 2:  # Ctrl-C once the weights have moved and before the step is counted
            raise KeyboardInterrupt

    place = tmp_path / "run.safetensors"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(torch.optim.AdamW, "step", tear)
        fast.fit(model, seen, PROMPT, checkpoint=place)
    resumed, straight = fast.fit(model, seen, PROMPT, checkpoint=place), fast.fit(model, seen, PROMPT)
    assert resumed.losses == straight.losses
    assert all(torch.equal(a, b) for a, b in zip(everything(resumed.model), everything(straight.model)))


def test_a_running_average_goes_on_with_the_same_bits_between_checkpoints(tmp_path):
    """Beside the weights it is a second set of numbers that a checkpoint has to carry."""
    model, (seen, _), fast = tiny.fitted("sd1"), subject(), settings("scratch", steps=4, ema=0.9)
    kept = []

    def stop(done: int, total: int, loss: float) -> None:
        if done not in kept:
            kept.append(done)
            raise KeyboardInterrupt

    place = tmp_path / "run.safetensors"
    for _ in range(4):
        with pytest.raises(KeyboardInterrupt):
            fast.fit(model, seen, PROMPT, checkpoint=place, progress=stop)
    resumed, straight = fast.fit(model, seen, PROMPT, checkpoint=place), fast.fit(model, seen, PROMPT)
    assert all(torch.equal(a, b) for a, b in zip(everything(resumed.model), everything(straight.model)))


@every_attacker
def test_a_checkpoint_of_another_run_is_refused(name, tmp_path):
    model, (seen, unseen), fast = tiny.fitted("sd1"), subject(), settings(name, steps=1)
    place = tmp_path / "run.safetensors"
    fast.fit(model, seen, PROMPT, checkpoint=place)
    kept = place.read_bytes()
    for other, images, seed in [(replace(fast, lr=1e-4), seen, 0), (fast, unseen, 0), (fast, seen, 1)]:
        with pytest.raises(UsageError, match="belongs to a training run with other settings, pictures or weights"):
            other.fit(model, images, PROMPT, seed=seed, checkpoint=place)
    assert place.read_bytes() == kept
    place.write_bytes(kept[:100])
    with pytest.raises(UsageError, match="is no checkpoint"):
        fast.fit(model, seen, PROMPT, checkpoint=place)


def test_a_prompt_without_the_token_is_one_sentence():
    for prompt in ("a photo of a disc", "desks", ""):
        with pytest.raises(UsageError, match="does not hold the token 'sks': write 'a photo of sks'"):
            settings("dreambooth").fit(tiny.fitted("sd1"), subject()[0], prompt)
