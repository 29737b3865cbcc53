"""Training: on a copy, seeded, resumable, and it learns."""

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import tiny
from unlearnable.errors import UnlearnableError
from unlearnable.models.adapters import adapt
from unlearnable.models.base import Model
from unlearnable.models.finetune.training import FineTune, Trainer, denoising_loss, fine_tune, fixed_losses
from unlearnable.rng import normal

every_family = pytest.mark.parametrize("family", tiny.FAMILIES)
FAST = FineTune(4, lr=2e-3, batch=2)


@cache
def built(family: str) -> Model:
    return adapt(tiny.build(family, seed=1), family)


def weights(model: Model) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.denoiser.named_parameters()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@torch.no_grad()
def answer(model: Model) -> Tensor:
    shape = model.latent_shape(32, 32)
    return model.predict(normal(["z"], shape, "training"), torch.tensor([500]), model.condition([tiny.PROMPT]))


def trainer(model: Model, settings: FineTune = FAST, seed: int = 0) -> tuple[Trainer, Callable[..., Model]]:
    made = Trainer(model.copy(), settings, seed)
    images, c = tiny.pictures(5), model.condition([tiny.PROMPT])
    return made, lambda steps=None: made.run(images, c.detach(), steps)


@every_family
@pytest.mark.parametrize("rank", [0, 2])
def test_training_a_copy_leaves_the_callers_model_as_it_was(family, rank):
    model = built(family)
    before, said = weights(model), answer(model)
    trained = fine_tune(model, tiny.pictures(3), tiny.PROMPT, FineTune(2, lr=1e-2, batch=2, rank=rank))
    assert same(weights(model), before) and torch.equal(answer(model), said)
    assert not any(p.requires_grad for p in model.denoiser.parameters())
    assert trained.denoiser is not model.denoiser
    assert (answer(trained) - said).abs().max() > 1e-4
    assert not trained.trainable()  # whoever gets it wants gradients of pictures only


@every_family
def test_a_plain_copy_is_equal_and_a_scratch_copy_is_seeded(family):
    model = built(family)
    state = torch.get_rng_state()
    assert torch.equal(answer(model.copy()), answer(model))
    one, again, other = (weights(model.copy(scratch=True, seed=seed)) for seed in (1, 1, 2))
    assert same(one, again) and not same(one, other) and not same(one, weights(model))
    assert one.keys() == weights(model).keys()
    assert torch.equal(torch.get_rng_state(), state)


def test_a_copy_of_a_half_precision_model_trains_in_float32():
    model = adapt(tiny.build("sd1").to(dtype=torch.bfloat16), "half")
    twin = model.copy()
    assert {p.dtype for p in twin.denoiser.parameters()} == {torch.float32}
    assert {p.dtype for p in model.denoiser.parameters()} == {torch.bfloat16}
    before = weights(twin)
    Trainer(twin, FineTune(1, lr=1e-6)).run(tiny.pictures(2), model.condition([tiny.PROMPT]))
    assert not same(weights(twin), before)  # bfloat16 would have swallowed the step


@every_family
def test_a_lora_trains_nothing_but_itself(family):
    model = built(family)
    before = weights(model)
    made, run = trainer(model, FineTune(3, lr=1e-2, batch=2, rank=4))
    first = {name: p for name, p in weights(made.model).items() if "lora_" in name}
    assert first and torch.equal(answer(made.model), answer(model))  # its second half starts at zero
    assert 0 < sum(p.numel() for p in made.parameters) < sum(p.numel() for p in before.values())
    run()
    after = weights(made.model)
    base = {name.replace(".base_layer", ""): p for name, p in after.items() if "lora_" not in name}
    assert same(base, before)
    assert all(not torch.equal(after[name], p) for name, p in first.items())


def test_a_copy_with_a_lora_goes_on_training_that_lora():
    made, run = trainer(built("sd1"), FineTune(3, lr=1e-2, batch=2, rank=2))
    learned = run()
    aside = Trainer(learned.copy(), FineTune(1, rank=2), seed=9)
    assert torch.equal(answer(aside.model), answer(learned))
    assert len(aside.parameters) == len(made.parameters)


def test_loras_are_seeded():
    loras = [weights(trainer(built("sd1"), FineTune(1, rank=2), seed)[0].model) for seed in (1, 1, 2)]
    assert same(loras[0], loras[1]) and not same(loras[0], loras[2])


@pytest.mark.parametrize("rank", [0, 2])
def test_two_halves_are_one_run_bitwise(rank):
    settings = FineTune(6, lr=2e-3, batch=2, rank=rank, cool=True)
    made, run = trainer(built("sd1"), settings)
    run(2)
    torch.rand(3)  # what others draw in between does not matter
    run(4)
    _, straight = trainer(built("sd1"), settings)
    assert made.done == 6
    assert same(weights(made.model), weights(straight()))


def test_another_seed_trains_otherwise():
    trained = [weights(trainer(built("sd1"), seed=seed)[1]()) for seed in (1, 1, 2)]
    assert same(trained[0], trained[1]) and not same(trained[0], trained[2])


def test_a_rate_of_zero_is_a_rate():
    made, run = trainer(built("sd1"), FineTune(2, lr=0.0, weight_decay=0.0))
    run()
    assert same(weights(made.model), weights(built("sd1")))
    assert trainer(built("sd1"), FineTune(1))[0].optimiser.param_groups[0]["lr"] == built("sd1").fine_tune_lr


@pytest.mark.parametrize(
    "family", [pytest.param(f, marks=() if f in ("sd1", "flux") else pytest.mark.slow) for f in tiny.FAMILIES]
)
def test_fine_tuning_lowers_the_loss_on_its_pictures(family):
    model, data = built(family), tiny.pictures(4)
    before = tiny.loss_of(model, data)
    tuned = fine_tune(model, data, tiny.PROMPT, FineTune(40, lr=4e-3, batch=4))
    assert tiny.loss_of(tuned, data) < 0.9 * before


def test_divergence_is_one_sentence_with_the_remedy():
    _, run = trainer(built("sd1"), FineTune(30, lr=1e30))
    with pytest.raises(UnlearnableError, match=r"training diverged at step \d+ \(loss .*\): lower the learning rate"):
        run()


def test_gradients_reach_a_trainable_text_encoder():
    """Textual inversion needs this: the condition keeps its graph."""
    model = adapt(tiny.build("sd1"), "text")
    table = model.pipe.text_encoder.get_input_embeddings().weight.requires_grad_(True)
    c = model.condition([tiny.PROMPT])
    z = normal(["z"], model.latent_shape(32, 32), "text")
    model.predict(z, torch.tensor([500]), c).square().mean().backward()
    assert table.grad is not None and table.grad.abs().sum() > 0
    assert_close(c.detach().tensors["text"], c.tensors["text"].detach())
    assert not c.detach().tensors["text"].requires_grad


@every_family
def test_fixed_losses_are_those_of_each_picture_alone_on_the_same_draws(family):
    model, images = built(family), tiny.pictures(9)
    found = fixed_losses(model, images, tiny.PROMPT, draws=3, seed=4)
    assert found.shape == (9,) and torch.equal(found, fixed_losses(model, images, tiny.PROMPT, draws=3, seed=4))
    assert_close(fixed_losses(model, images[8:], tiny.PROMPT, draws=3, seed=4), found[8:])
    assert not torch.equal(found, fixed_losses(model, images, tiny.PROMPT, draws=3, seed=5))
    with torch.no_grad():  # the draws do not depend on the picture: the same noise explains both
        z, c = model.encode(images[:2]), model.condition([tiny.PROMPT])
        total = torch.zeros(2)
        for i, time in enumerate([166, 500, 833]):
            noise = normal([f"draw {i}"], z.shape[1:], "fixed losses", 4).repeat(2, 1, 1, 1)
            total += denoising_loss(model, z, noise, torch.full([2], time), c)
    assert_close(found[:2], total / 3)
