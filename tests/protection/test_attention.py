"""Attention terms and tuned texts, against the stock network's own attention and by hand."""

import math

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor

from tiny import PROMPT, fitted, pictures
from unlearnable.errors import UsageError
from unlearnable.models.finetune.training import denoising_loss
from unlearnable.models.watch import text_projections, token_positions
from unlearnable.protection import strengths
from unlearnable.protection.attention import LessAttention
from unlearnable.protection.objectives import Batch
from unlearnable.protection.prompts import TunedText
from unlearnable.protection.timesteps import TimestepDistribution, probabilities
from unlearnable.rng import image_keys, normal


class Keeping(AttnProcessor):
    """Stock diffusers' plain processor, which keeps the scores that `Attention.get_attention_scores` gives it."""

    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **more):
        real = attn.get_attention_scores
        if encoder_hidden_states is not None:
            attn.get_attention_scores = lambda *given: self.kept.append(real(*given)) or self.kept[-1]
        try:
            return super().__call__(attn, hidden_states, encoder_hidden_states, **more)
        finally:
            attn.__dict__.pop("get_attention_scores", None)


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
@pytest.mark.parametrize("word, summed", [("sks", True), ("", False)])
def test_the_attention_term_against_the_stock_processors_scores(family, word, summed):
    model, x = fitted(family), pictures(2, seed=3)
    t, noise = torch.tensor([100, 700]), normal(["a", "b"], (4, 8, 8), "n")
    c = model.condition([PROMPT])
    loss = LessAttention(0.7, word, summed).for_prompt(model, PROMPT)
    ours = loss(model, x, Batch(t, noise, c))
    twin, kept = model.copy(), []
    twin.denoiser.set_attn_processor(Keeping(kept))
    plain = denoising_loss(twin, model.encode(x), noise, t, c)
    ids = model.pipe.tokenizer(PROMPT).input_ids
    places = [i for i, one in enumerate(ids) if model.pipe.tokenizer.decode([one]) in "sks"][-3:] if word else []
    energy = []
    for scores in kept:
        a = scores.view(2, -1, *scores.shape[1:])  # batch, heads, places, words
        a = a[..., places] if word else a
        total = (a**2).sum(3).mean(1)
        energy.append(total.sum(1) if summed else total.mean(1))
    torch.testing.assert_close(ours, plain - 0.7 * sum(energy) / len(energy), atol=1e-5, rtol=1e-4)


def test_where_a_word_is():
    model = fitted("sd1")
    places = token_positions(model, "a sks on sks", "sks")
    assert places == [2, 3, 4], "behind the start and the a: three letters, the first time"
    assert token_positions(model, "a cat", "sks") == [1, 2, 3, 4] and token_positions(model, "", "sks") == [1]


def test_less_noise_longer_steps():
    times = TimestepDistribution(paced=True)
    p = probabilities("uniform", fitted("sd1").schedule)
    keys = ["a", "b", "c"]
    drawn = [times.sample(p, keys, (1,), (3, 4), i, 2)[0] for i in range(2)]
    expected = [sum((1 + math.cos(math.pi * int(t[row]) / 1000)) / 2 for t in drawn) / 2 for row in range(3)]
    assert times.pace(p, keys, (3, 4), 2).flatten().tolist() == pytest.approx(expected, abs=1e-5)
    assert TimestepDistribution().pace(p, keys, (3, 4), 2) == 1


def test_a_tuned_text_by_hand():
    """Two steps of Adam on the text code, written out, on what the pictures' noise is named by."""
    model, x = fitted("sd1"), 1 - pictures(2, seed=3)
    settings = TunedText(tune=2, rate=1e-2)
    ours = settings.begin(model, PROMPT, 5).before(x, x)[0].condition.tensors["text"]
    from unlearnable.rng import uniform

    code = model.pipe.encode_prompt([PROMPT], "cpu", 1, False)[0].detach()
    m, v, z, keys = 0, 0, model.pipe.vae.encode(2 * x - 1).latent_dist.mean, image_keys(x)
    for step in range(2):
        t = (uniform(keys, (), 5, "tune", 0, step) * 1000).long()
        noise = normal(keys, z.shape[1:], 5, "tune", 0, step)
        a = model.pipe.scheduler.alphas_cumprod[t].view(-1, 1, 1, 1)
        code = code.requires_grad_(True)
        answer = model.pipe.unet(a.sqrt() * z + (1 - a).sqrt() * noise, t, code.expand(2, -1, -1)).sample
        (g,) = torch.autograd.grad((answer - noise).square().mean(), code)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        code = (code - 1e-2 * (m / (1 - 0.9 ** (step + 1))) / ((v / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8)).detach()
    assert ((ours - code).abs() < 1e-4).float().mean() > 0.99  # Adam's first step is a sign


def test_draws_lie_around_the_tuned_text_as_far_as_the_prompt():
    model, x = fitted("sd1"), pictures(2)
    turn = TunedText(tune=5, rate=1e-2, drawn=True).begin(model, PROMPT, 1)
    with torch.no_grad():
        start = model.condition([PROMPT]).tensors["text"]
    codes = torch.cat([turn.before(x, x)[0].condition.tensors["text"] for _ in range(40)])
    way, spread = (turn.code - start).square().mean(), (codes - turn.code).square().mean()
    assert float(spread / way) == pytest.approx(1, rel=0.1) and not torch.equal(codes[0], codes[1])
    assert torch.allclose(codes.mean(0), turn.code[0], atol=5 * float(way.sqrt()) / 40**0.5)


def test_models_without_are_refused():
    for name, family in (("disdiff", "flux"), ("anti-diffusion", "ddpm"), ("caat", "ddpm"), ("pap", "ddpm")):
        with pytest.raises(UsageError, match=f"a {family} model"):
            strengths.protection(name)(fitted(family), pictures(1, side=16))
    assert len(text_projections(fitted("flux"))) == 2 and len(text_projections(fitted("sd3"))) == 4
