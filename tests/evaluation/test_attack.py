"""A trial measures what its parts measure by themselves, with the same randomness in every condition."""

from dataclasses import replace

import pytest
import torch

from audited import PROMPT, unfitted
from tiny import pictures
from unlearnable.evaluation.attack import Pictures, Trial
from unlearnable.models.finetune.training import fixed_losses
from unlearnable.personalization import presets
from unlearnable.personalization.concept import generate


def trial(**changes) -> Trial:
    attacker = replace(presets.attacker("dreambooth", unfitted()), steps=4)
    return Trial(attacker, PROMPT, 0, 2, 2, 3, **changes)


def test_it_measures_what_its_parts_measure(tmp_path):
    model, seen, held = unfitted(), Pictures(pictures(3), ("a", "b", "c"), ("a", "b", "c")), pictures(2, seed=4)
    told: list[int] = []
    found, made = trial()(model, seen, Pictures(held, ("d", "e")), tmp_path / "run", lambda *at: told.append(at[0]))
    learned = trial().attacker.fit(model, seen.images, PROMPT, keys=seen.names)
    assert found["held_out"] == pytest.approx(fixed_losses(learned.model, held, PROMPT, draws=3).tolist())
    before = fixed_losses(model, seen.images, "a photo of disc", draws=3).mean()
    after = fixed_losses(learned.model, seen.images, PROMPT, draws=3).mean()
    assert (found["own_before"], found["own_after"]) == pytest.approx((float(before), float(after)))
    assert torch.equal(made, learned.generate([PROMPT] * 2, steps=2)) and told == [1, 2, 3, 4]


def test_an_untouched_model_is_asked_without_the_token():
    model, held = unfitted(), pictures(2, seed=4)
    found, made = trial()(model, None, Pictures(held, ("d", "e")))
    assert found["held_out"] == pytest.approx(fixed_losses(model, held, "a photo of disc", draws=3).tolist())
    assert torch.equal(made, generate(model, ["a photo of disc"] * 2, steps=2)) and "own_before" not in found


def test_conditions_share_crops_and_noise():
    """A change that is hardly there changes training hardly, if nothing else changes with it."""
    model, x = unfitted(), pictures(3)
    y = (x + torch.where(x < 0.5, 1, -1) / 255).contiguous()
    fit = trial().attacker.fit
    names = ("a", "b", "c")
    same, near = (torch.tensor(fit(model, images, PROMPT, keys=names).losses) for images in (x, y))
    apart = torch.tensor(fit(model, y, PROMPT).losses) - torch.tensor(fit(model, x, PROMPT).losses)
    assert (near - same).abs().max() < 0.1 * apart.abs().max()
    assert not torch.equal(near, same)
