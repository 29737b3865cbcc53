"""Two optimiser steps of every attacker against the same steps in stock diffusers, peft and transformers, by hand."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor
from torch.testing import assert_close

import by_hand
import tiny
from unlearnable.models.adapters import adapt
from unlearnable.models.base import Model
from unlearnable.models.finetune import training
from unlearnable.models.finetune.training import Trainer
from unlearnable.personalization.custom_diffusion import CustomDiffusion
from unlearnable.personalization.dreambooth import DreamBooth
from unlearnable.personalization.lora import LoRA
from unlearnable.personalization.scratch import Scratch
from unlearnable.personalization.textual_inversion import TextualInversion

PROMPT, CLASS = "a photo of sks disc", "a photo of disc"
TWO = {"steps": 2, "batch": 3, "token": "sks"}
UNETS = ("sd1", "sd2", "sdxl")


@dataclass
class Seen:
    """What our loop drew and found: (z, noise, t) of each loss, gradients and losses of each step."""

    draws: list[tuple[Tensor, Tensor, Tensor]] = field(default_factory=list)
    gradients: list[list[Tensor | None]] = field(default_factory=list)
    trainers: list[Trainer] = field(default_factory=list)


@pytest.fixture
def seen(monkeypatch):
    found, loss, step = Seen(), training.denoising_loss, Trainer._step

    def watched_loss(model: Model, z: Tensor, noise: Tensor, t: Tensor, c: Any) -> Tensor:
        found.draws.append((z, noise, t))
        return loss(model, z, noise, t, c)

    def watched_step(trainer: Trainer, value: Tensor) -> None:
        step(trainer, value)
        found.gradients.append([None if p.grad is None else p.grad.clone() for p in trainer.parameters])
        found.trainers.append(trainer)

    monkeypatch.setattr(training, "denoising_loss", watched_loss)
    monkeypatch.setattr(Trainer, "_step", watched_step)
    return found


def pair(family: str) -> tuple[Any, Model]:
    """A stock pipeline, and a model over another one of the same weights."""
    stock, ours = (tiny.build(family, seed=3) for _ in range(2))
    for module in stock.components.values():
        if isinstance(module, torch.nn.Module):
            module.requires_grad_(False).eval()
    return stock, adapt(ours, family)


def denoiser(pipe: Any) -> Any:
    return pipe.transformer if hasattr(pipe, "transformer") else pipe.unet


def loss_of(family: str, stock: Any, draw: tuple[Tensor, Tensor, Tensor], prompt: str = PROMPT) -> Tensor:
    """The loss of the field's training scripts, everything through stock parts."""
    z, noise, t = draw
    answer = by_hand.answered(family, stock, by_hand.noised(family, stock, z, noise, t), t, [prompt] * len(z))
    return F.mse_loss(answer.float(), by_hand.target(family, stock, z, noise, t).float(), reduction="mean")


def relative(found: list[Tensor], wanted: list[Tensor]) -> float:
    """Norm of the difference, over the norm of what was wanted."""
    off = sum((a.detach() - b.detach()).square().sum() for a, b in zip(found, wanted, strict=True))
    return float((off / sum(b.detach().square().sum() for b in wanted)).sqrt())


def moved_alike(found: list[Tensor], wanted: list[Tensor], start: list[Tensor]) -> bool:
    """Both moved, and in the same way: to 1 % of the way that was gone (Adam turns float noise near 0 into steps)."""
    way = [b.detach() - a for a, b in zip(start, wanted, strict=True)]
    return relative([b.detach() - a for a, b in zip(start, found, strict=True)], way) < 0.01


def copies(parameters: Any) -> list[Tensor]:
    return [p.detach().clone() for p in parameters]


def images(model: Model) -> Tensor:
    return tiny.pictures(3, seed=4, side=min(model.size, 32))


def shrunk(model: Model) -> Model:
    """FLUX has no size of its own and is taken for 1024 px: train the tiny one at its autoencoder's."""
    model.size = min(model.size, 32)
    return model


@pytest.mark.parametrize("family", UNETS)
def test_dreambooth_steps_are_the_scripts(family, seen):
    stock, model = pair(family)
    network = denoiser(stock).requires_grad_(True)
    start, settings = copies(network.parameters()), DreamBooth(lr=1e-3, **TWO)
    concept = settings.fit(model, images(model), PROMPT)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-2, eps=1e-8)
    for draw, gradients in zip(seen.draws, seen.gradients):
        optimiser.zero_grad()
        loss_of(family, stock, draw).backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        assert norm > 0.01
        assert relative(gradients, [p.grad for p in network.parameters()]) < 1e-4
        optimiser.step()
    assert moved_alike(list(concept.model.denoiser.parameters()), list(network.parameters()), start)
    assert len(seen.draws) == 2 and not torch.equal(seen.draws[0][1], seen.draws[1][1])


@pytest.mark.parametrize("family", UNETS)
def test_dreambooth_with_the_text_encoder_steps_are_the_scripts(family, seen):
    stock, model = pair(family)
    texts = [getattr(stock, n) for n in ("text_encoder", "text_encoder_2") if getattr(stock, n, None) is not None]
    both = [*denoiser(stock).parameters(), *[p for text in texts for p in text.parameters()]]
    for p in both:
        p.requires_grad_(True)
    start = copies(both)
    DreamBooth(lr=1e-3, text_lr=1e-3, clip=0.0, **TWO).fit(model, images(model), PROMPT)
    optimiser = torch.optim.AdamW(both, lr=1e-3, weight_decay=1e-2)
    for draw in seen.draws:
        optimiser.zero_grad()
        loss_of(family, stock, draw).backward()
        optimiser.step()
    assert moved_alike(seen.trainers[0].parameters, both, start)


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_prior_preservation_is_the_formula(family, seen):
    """Loss = subject + weight * class, each with its own pictures, prompt, noise and time (DreamBooth, eq. 2)."""
    stock, model = pair(family)
    denoiser(stock).requires_grad_(True)
    kind = tiny.pictures(5, seed=9)
    settings = DreamBooth(lr=1e-3, clip=0.0, prior_weight=0.7, **(TWO | {"steps": 1}))
    concept = settings.fit(model, images(model), PROMPT, class_images=kind)
    subject, prior = seen.draws
    expected = loss_of(family, stock, subject) + 0.7 * loss_of(family, stock, prior, CLASS)
    assert concept.losses[0] == pytest.approx(expected.item(), rel=1e-4)
    expected.backward()
    assert relative(seen.gradients[0], [p.grad for p in denoiser(stock).parameters()]) < 1e-4
    with torch.no_grad():  # the pictures are the ones given
        candidates = by_hand.encoded(stock, kind)
    assert all((z - candidates).flatten(1).abs().amax(1).min() < 1e-4 for z in prior[0])


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl", "sd3", "flux"])
def test_lora_steps_are_the_scripts(family, text, seen):
    stock, model = pair(family)
    model = shrunk(model)
    settings = LoRA(lr=1e-2, rank=3, clip=0.0, text_lr=1e-2 if text else None, **TWO)
    start = settings.begin(model, PROMPT, seed=0).model
    networks = [(denoiser(stock), start.denoiser, ["to_k", "to_q", "to_v", "to_out.0"])]
    if text:
        for name in ("text_encoder", "text_encoder_2"):
            if getattr(stock, name, None) is not None and type(getattr(stock, name)).__name__.startswith("CLIP"):
                layers = ["q_proj", "k_proj", "v_proj", "out_proj"]
                networks.append((getattr(stock, name), getattr(start.pipe, name), layers))
    for theirs, ours, layers in networks:
        theirs.add_adapter(LoraConfig(r=3, lora_alpha=3, target_modules=layers))
        set_peft_model_state_dict(theirs, get_peft_model_state_dict(ours))
    concept = settings.fit(model, images(model), PROMPT)
    learned = [concept.model.denoiser]
    learned += [getattr(concept.model.pipe, name) for name in ("text_encoder", "text_encoder_2")[: len(networks) - 1]]
    parameters = [p for theirs, _, _ in networks for p in theirs.parameters() if p.requires_grad]
    before = [get_peft_model_state_dict(ours) for _, ours, _ in networks]
    optimiser = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=1e-2)
    for draw in seen.draws:
        optimiser.zero_grad()
        loss_of(family, stock, draw).backward()
        optimiser.step()
    for (theirs, _, _), after, old in zip(networks, learned, before):
        wanted, found = get_peft_model_state_dict(theirs), get_peft_model_state_dict(after)
        assert wanted.keys() == found.keys() == old.keys() and len(wanted) > 4
        assert moved_alike(*([state[name] for name in old] for state in (found, wanted, old)))


def with_word(family: str, stock: Any) -> tuple[list[str], list[Tensor]]:
    """The word sks in a stock pipeline's vocabularies, as the scripts add it: encoders' names, and tables to train."""
    texts = [("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")][: 2 if family == "sdxl" else 1]
    tables = []
    for tokenizer, encoder in ((getattr(stock, t), getattr(stock, e)) for t, e in texts):
        word = tokenizer("disc", add_special_tokens=False).input_ids
        assert tokenizer.add_tokens("sks") == 1
        encoder.resize_token_embeddings(len(tokenizer))
        table = encoder.get_input_embeddings().weight
        with torch.no_grad():
            table[-1] = table[word].mean(0)
        tables.append(table.requires_grad_(True))
    return [encoder for _, encoder in texts], tables


@pytest.mark.parametrize("family", UNETS)
def test_custom_diffusion_steps_are_the_scripts(family, seen):
    """The K and V of the text and the word's row move by AdamW on subject + class; nothing else of the model does."""
    stock, model = pair(family)
    texts, tables = with_word(family, stock)
    network = denoiser(stock)
    trained = [p for name, p in network.named_parameters() if "attn2.to_k" in name or "attn2.to_v" in name]
    assert len(trained) == sum(2 for name, _ in network.named_modules() if name.endswith("attn2")) > 0
    start, words = copies(network.parameters()), copies(tables)
    for p in trained:
        p.requires_grad_(True)
    attacker = CustomDiffusion(lr=1e-2, prior_weight=0.7, **TWO)
    concept = attacker.fit(model, images(model), PROMPT, class_images=tiny.pictures(4, seed=9))
    optimiser = torch.optim.AdamW([*trained, *tables], lr=1e-2, weight_decay=1e-2)
    for subject, prior in zip(seen.draws[::2], seen.draws[1::2], strict=True):
        optimiser.zero_grad()
        (loss_of(family, stock, subject) + 0.7 * loss_of(family, stock, prior, CLASS)).backward()
        optimiser.step()
        for table, before in zip(tables, words):
            with torch.no_grad():
                table[:-1] = before[:-1]
    learned = list(concept.model.denoiser.parameters())
    assert moved_alike(learned, list(network.parameters()), start)
    assert sum(not torch.equal(a, b) for a, b in zip(learned, start)) == len(trained)
    for name, table, before in zip(texts, tables, words):
        after = getattr(concept.model.pipe, name).get_input_embeddings().weight
        assert torch.equal(after[:-1], before[:-1])
        assert_close(after[-1], table[-1], rtol=1e-3, atol=2e-4)  # a step is 1e-2
        assert (after[-1] - before[-1]).abs().max() > 5e-3


@pytest.mark.parametrize("family", UNETS)
def test_textual_inversion_steps_are_the_scripts(family, seen):
    stock, model = pair(family)
    texts, tables = with_word(family, stock)
    kept = copies(tables)
    concept = TextualInversion(lr=1e-2, **TWO).fit(model, images(model), PROMPT)
    optimiser = torch.optim.AdamW(tables, lr=1e-2, weight_decay=1e-2)
    for draw in seen.draws:
        optimiser.zero_grad()
        loss_of(family, stock, draw).backward()
        optimiser.step()
        for table, before in zip(tables, kept):  # the field's scripts put all other words back
            with torch.no_grad():
                table[:-1] = before[:-1]
    for encoder, table, before in zip(texts, tables, kept):
        after = getattr(concept.model.pipe, encoder).get_input_embeddings().weight
        assert torch.equal(after[:-1], before[:-1])  # other words: bitwise as they were
        assert_close(after[-1], table[-1], rtol=1e-3, atol=2e-4)  # a step is 1e-2
        assert (after[-1] - before[-1]).abs().max() > 5e-3
    assert not any(p.requires_grad for network in concept.model.modules() for p in network.parameters())


@pytest.mark.parametrize("family", ["ddpm", "sd1"])
@pytest.mark.parametrize(("ema", "cool"), [(0.0, False), (0.5, False), (0.0, True)])
def test_continued_training_steps_are_the_scripts(family, ema, cool, seen):
    stock, model = pair(family)
    network = denoiser(stock).requires_grad_(True)
    attacker = Scratch(lr=1e-3, clip=0.0, ema=ema, cool=cool, fresh=False, steps=3, batch=2)
    concept = attacker.fit(model, images(model), PROMPT)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.0)
    rate = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0 if cool else 1.0, total_iters=3)
    start = average = copies(network.parameters())
    for step, draw in enumerate(seen.draws, 1):
        optimiser.zero_grad()
        loss_of(family, stock, draw).backward()
        optimiser.step()
        rate.step()
        decay = min(ema, step / (9 + step)) if step > 1 else 0.0  # diffusers' warm-up of the average
        average = [decay * a + (1 - decay) * p.detach() for a, p in zip(average, network.parameters())]
    wanted = average if ema else list(network.parameters())
    assert moved_alike(list(concept.model.denoiser.parameters()), wanted, start)


@pytest.mark.parametrize("text", [False, True])
def test_each_picture_is_learned_under_its_own_caption(text, seen):
    """Pictures of one colour each, so that every crop of one tells which it is of."""
    stock, model = pair("sd1")
    captions = [PROMPT, "sks, red", "a blue sks"]
    x = torch.tensor([[0.1, 0.9, 0.2], [0.9, 0.1, 0.1], [0.1, 0.2, 0.9]])[:, :, None, None].expand(3, 3, 32, 32)
    settings = DreamBooth(lr=1e-3, text_lr=1e-3 if text else None, augment=True, steps=3, batch=2)
    trained = [*denoiser(stock).parameters(), *(stock.text_encoder.parameters() if text else ())]
    losses = settings.fit(model, x, PROMPT, captions=[None, *captions[1:]]).losses
    optimiser = torch.optim.AdamW([p.requires_grad_(True) for p in trained], lr=1e-3, weight_decay=1e-2)
    known, told = by_hand.encoded(stock, x), set()
    for (z, noise, t), loss in zip(seen.draws, losses, strict=True):
        rows = [(known - one).flatten(1).abs().amax(1).argmin().item() for one in z]
        told |= set(rows)
        noisy = by_hand.noised("sd1", stock, z, noise, t)
        answer = by_hand.answered("sd1", stock, noisy, t, [captions[row] for row in rows])
        wanted = F.mse_loss(answer, by_hand.target("sd1", stock, z, noise, t))
        assert loss == pytest.approx(wanted.item(), rel=1e-4)
        optimiser.zero_grad()
        wanted.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
    assert told == {0, 1, 2}


@pytest.mark.parametrize("family", ["sd1", "sd3"])
def test_alpha_and_scales_are_the_trainers(family, seen):
    """A LoRA of rank 3 at alpha 1 counts by a third; batches are whole pictures, or halves of the size."""
    stock, model = pair(family)
    network, layers = denoiser(stock), ["to_k", "to_q", "to_v", "to_out.0"]
    settings = LoRA(lr=1e-2, rank=3, alpha=1.0, clip=0.0, scales=(0.5, 1.0), **(TWO | {"steps": 5}))
    start = get_peft_model_state_dict(settings.begin(model, PROMPT, seed=0).model.denoiser)
    network.add_adapter(LoraConfig(r=3, lora_alpha=1, target_modules=layers))
    set_peft_model_state_dict(network, start)
    x = images(model)
    concept = settings.fit(model, x, PROMPT)
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-2, weight_decay=1e-2)
    for draw in seen.draws:
        optimiser.zero_grad()
        loss_of(family, stock, draw).backward()
        optimiser.step()
    wanted, found = get_peft_model_state_dict(network), get_peft_model_state_dict(concept.model.denoiser)
    assert moved_alike(*([state[name] for name in start] for state in (found, wanted, start)))
    halves = by_hand.encoded(stock, F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True))
    sizes = {draw[0].shape[-1]: draw[0] for draw in seen.draws}
    assert sizes.keys() == {4, 8}
    assert all((halves - z).flatten(1).abs().amax(1).min() < 1e-3 for z in sizes[4])
