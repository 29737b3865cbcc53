"""Prompts, new tokens and presets: the words by which a subject is learned."""

import pytest
import torch
from torch.testing import assert_close

import tiny
from unlearnable import registry
from unlearnable.errors import UsageError
from unlearnable.models import base
from unlearnable.models.adapters import adapt
from unlearnable.models.base import Model
from unlearnable.models.finetune.token import add_token
from unlearnable.personalization import presets
from unlearnable.personalization.concept import generate
from unlearnable.personalization.dreambooth import DreamBooth
from unlearnable.personalization.learned import Fit, fit_of, warning
from unlearnable.personalization.lora import LoRA
from unlearnable.personalization.prompts import behind, mentions, without
from unlearnable.personalization.textual_inversion import TextualInversion

PROMPT = "a photo of sks disc"


def own(family: str = "sd1") -> Model:
    return adapt(tiny.build(family, seed=2), family).copy(text=True)


@pytest.mark.parametrize(
    ("prompt", "token", "named", "kind", "rest"),
    [
        ("a photo of sks dog", "sks", True, "dog", "a photo of dog"),
        ("a photo of sks", "sks", True, "", "a photo of"),
        ("sks, a dog", "sks", True, ", a dog", ", a dog"),
        ("a photo of <cat-toy> on desks", "<cat-toy>", True, "on desks", "a photo of on desks"),
        ("a photo of desks", "sks", False, "a photo of desks", "a photo of desks"),
        ("a photo of sks's dog", "sks", True, "'s dog", "a photo of 's dog"),
    ],
)
def test_a_token_is_found_as_a_word(prompt, token, named, kind, rest):
    assert mentions(prompt, token) == named and without(prompt, token) == rest
    assert behind(prompt, token) == kind and without(prompt, "") == prompt


@torch.no_grad()
def test_a_new_token_starts_as_the_words_it_is_like():
    model = own()
    words, table = model.pipe.tokenizer, model.pipe.text_encoder.get_input_embeddings().weight.clone()
    like = words("red disc", add_special_tokens=False).input_ids
    token = add_token(model, "sks", "red disc")
    assert_close(token.rows[0], table[like].mean(0))
    assert_close(add_token(own(), "sks", "").rows[0], table.mean(0))
    assert words("sks", add_special_tokens=False).input_ids == [len(table)]
    assert torch.equal(model.pipe.text_encoder.get_input_embeddings().weight[: len(table)], table)


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_settling_a_token_changes_nothing_but_who_holds_it(family):
    model = own(family)
    token = add_token(model, "sks", "disc")
    with torch.no_grad():
        for row in token.rows:
            row.add_(torch.randn(row.shape, generator=torch.Generator().manual_seed(1)))
        before = model.condition([PROMPT]).tensors
        other = model.condition(["a photo of a disc"]).tensors
        token.settle()
        for name, value in model.condition([PROMPT]).tensors.items():
            assert torch.equal(value, before[name])
        for name, value in model.condition(["a photo of a disc"]).tensors.items():
            assert torch.equal(value, other[name]) and not torch.equal(value, before[name])


def test_gradients_reach_the_new_token_and_no_other_word():
    model = own()
    token = add_token(model, "sks", "disc")
    model.condition([PROMPT]).tensors["text"].square().sum().backward()
    assert token.rows[0].grad.abs().sum() > 0
    assert model.pipe.text_encoder.get_input_embeddings().weight.grad is None


def test_a_word_that_the_model_has_already_is_refused():
    with pytest.raises(UsageError, match="knows a token 's' already: choose another one, such as '<s>'"):
        TextualInversion(token="s").fit(adapt(tiny.build("sd1"), "tiny"), tiny.pictures(1), "a photo of s disc")


def test_two_vocabularies_and_two_copies_do_not_meet():
    model = adapt(tiny.build("sdxl"), "tiny")
    one, other = model.copy(text=True), model.copy(text=True)
    add_token(one, "sks", "disc")
    counts = [len(m.pipe.tokenizer_2) for m in (model, one, other)]
    assert counts[1] == counts[0] + 1 and counts[2] == counts[0]


def test_presets_follow_the_size_of_the_model(monkeypatch):
    model = adapt(tiny.build("sd1"), "tiny")
    assert presets.attacker("dreambooth", model).token_lr
    monkeypatch.setattr(base, "LARGE", 1)
    assert presets.attacker("dreambooth", model) == DreamBooth(steps=1000, lr=2e-6, text_lr=2e-6, batch=2)
    inversion = presets.attacker("textual-inversion", model)
    assert (inversion.steps, inversion.lr) == (1500, pytest.approx(5e-4 * inversion.batch))
    assert presets.attacker("textual-inversion", model, "paper-short").steps == 400
    assert presets.attacker("lora", model, "embedded").token_lr
    for trainer, wanted in (("ai-toolkit", (32, 3000, 1, 1e-4)), ("onetrainer", (16, 500, 4, 3e-4))):
        chosen = presets.attacker("lora", model, trainer)
        assert (chosen.rank, chosen.steps, chosen.batch, chosen.lr) == wanted
    for wrong in ({"times": "sigmod"}, {"scales": [0.5, 2.0]}, {"scales": []}):
        with pytest.raises(UsageError, match=r"unknown law of times|are no shares: give one or more"):
            presets.adjusted(chosen, wrong)
    for name in registry.names("attacker"):
        assert {"paper", "embedded"} <= registry.load(name, "attacker").PRESETS.keys()
        assert registry.entry(name, "attacker").summary


def test_class_pictures_that_are_not_given_are_drawn_before_training():
    """Giving the model's own pictures of the class, drawn by hand, is the same run; other ones are another."""
    model, x = adapt(tiny.build("sd1", seed=2), "tiny"), tiny.pictures(2)
    drawing = DreamBooth(steps=2, lr=1e-3, class_pictures=3)
    learned = drawing.fit(model, x, PROMPT, seed=5).losses
    kind = generate(model, ["a photo of disc"] * 3, seed=5)
    assert drawing.fit(model, x, PROMPT, seed=5, class_images=kind).losses == pytest.approx(learned, rel=1e-5)
    assert drawing.fit(model, x, PROMPT, seed=5, class_images=x).losses != pytest.approx(learned, rel=1e-2)
    without = DreamBooth(steps=2, lr=1e-3).fit(model, x, PROMPT, seed=5).losses
    assert learned[0] > 1.5 * without[0]  # a second loss is added
    with pytest.raises(UsageError, match="class_pictures -1 is too small: give 0 for none"):
        presets.adjusted(drawing, {"class_pictures": -1})


def test_the_warning_speaks_when_nothing_was_learned():
    assert warning(Fit(0.5, 0.45)) is None
    for after in (0.499, 0.5, 0.8):
        assert "did not learn its own pictures (loss 0.5000 before" in warning(Fit(0.5, after))


def test_an_attacker_at_rate_zero_is_caught_and_one_that_learns_is_not():
    model, x = adapt(tiny.build("sd1"), "tiny"), tiny.pictures(3, seed=6)
    idle = DreamBooth(steps=3, lr=0.0, weight_decay=0.0).fit(model, x, PROMPT)
    fit = fit_of(model, idle, x)
    assert fit.after == pytest.approx(fit.before, rel=5e-3) and warning(fit)
    busy = DreamBooth(steps=10, lr=2e-3).fit(model, x, PROMPT)
    assert fit_of(model, busy, x).gain > 0.05 and warning(fit_of(model, busy, x)) is None


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("sd1", DreamBooth(lr=1e-3, token_lr=1e-2, text_lr=1e-3, steps=2)),
        ("sdxl", TextualInversion(steps=2)),
        ("flux", LoRA(lr=1e-3, text_lr=1e-3, steps=2)),
    ],
)
def test_a_model_in_half_precision_is_learned_in_full(family, settings):
    """As on a GPU: bfloat16 weights and autocast; what is trained is float32, or small steps would be lost."""
    model = adapt(tiny.build(family).to(dtype=torch.bfloat16), family, amp=torch.bfloat16)
    model.size = min(model.size, 32)
    trained = [p for group in settings.begin(model, PROMPT, 0).groups for p in group["params"]]
    assert {p.dtype for p in trained} == {torch.float32}
    concept = settings.fit(model, tiny.pictures(2), PROMPT)
    assert concept.generate([PROMPT], steps=2).isfinite().all()
    assert {p.dtype for network in model.modules() for p in network.parameters()} == {torch.bfloat16}


FOUND = {"a photo of sks dog": 1, "masks": 0, "asks sks": 1, "sks": 1, "sksdog dogsks": 0, "sks's dog, sks.": 2}


@pytest.mark.parametrize(("text", "found"), FOUND.items())
def test_a_new_word_is_found_as_a_word_only(text, found):
    model = own()
    token = add_token(model, "sks", "disc")
    assert model.pipe.tokenizer(text).input_ids.count(token.tables[0][1]) == found
