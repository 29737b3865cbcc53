"""Saved concepts in stock diffusers: the same picture as from `Concept.generate`."""

from dataclasses import replace

import diffusers
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.testing import assert_close

import by_hand
import tiny
from unlearnable.models.adapters import adapt
from unlearnable.models.base import Model
from unlearnable.personalization.concept import generate
from unlearnable.personalization.custom_diffusion import FILE, CustomDiffusion
from unlearnable.personalization.dreambooth import DreamBooth
from unlearnable.personalization.lora import LoRA
from unlearnable.personalization.scratch import Scratch
from unlearnable.personalization.textual_inversion import TextualInversion
from unlearnable.rng import generator

PROMPT = "a photo of sks disc"
ASKED = {"guidance_scale": 4.0, "num_inference_steps": 3, "output_type": "pt"}
FEW = {"steps": 3, "batch": 2}
PIPES = {
    "sd1": diffusers.StableDiffusionPipeline,
    "sd2": diffusers.StableDiffusionPipeline,
    "sdxl": diffusers.StableDiffusionXLPipeline,
    "sd3": diffusers.StableDiffusion3Pipeline,
    "flux": diffusers.FluxPipeline,
}


def base(family: str) -> Model:
    model = adapt(tiny.build(family, seed=5), family)
    model.size = min(model.size, 32)  # FLUX has no size of its own
    return model


def starts(seed: int, count: int) -> list[torch.Generator]:
    return [generator(seed, "generate", i) for i in range(count)]


def stock_pictures(pipe: diffusers.DiffusionPipeline, family: str, seed: int, count: int = 1) -> Tensor:
    more = {"max_sequence_length": by_hand.TEXT_TOKENS} if family in by_hand.FLOWS else {}
    pipe.set_progress_bar_config(disable=True)
    asked = {"prompt": [PROMPT] * count, "height": 32, "width": 32, "generator": starts(seed, count)}
    return torch.as_tensor(pipe(**asked, **ASKED, **more).images)


def untouched(family: str, folder) -> diffusers.DiffusionPipeline:
    """The base model, through a folder of its own."""
    tiny.build(family, seed=5).save_pretrained(folder / "base")
    return PIPES[family].from_pretrained(folder / "base")


def same_but_not_as_before(pipe: diffusers.DiffusionPipeline, family: str, concept, before: Model) -> None:
    wanted = stock_pictures(pipe, family, seed=7)
    assert_close(concept.generate([PROMPT], seed=7, steps=3), wanted, rtol=1e-4, atol=1e-5)
    assert (wanted - generate(before, [PROMPT], seed=7, steps=3)).abs().max() > 1e-3


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("family", PIPES)
def test_a_lora_loads_in_stock_diffusers(family, text, tmp_path):
    model = base(family)
    settings = LoRA(lr=0.05, text_lr=0.05 if text else None, **FEW)
    concept = settings.fit(model, tiny.pictures(2), PROMPT)
    concept.save(tmp_path / "concept")
    pipe = untouched(family, tmp_path)
    pipe.load_lora_weights(tmp_path / "concept")
    same_but_not_as_before(pipe, family, concept, model)
    names = load_file(tmp_path / "concept" / "pytorch_lora_weights.safetensors")
    assert any(name.startswith("text_encoder.") for name in names) == text


def test_a_lora_at_another_alpha_loads_in_stock_diffusers(tmp_path):
    """Its file holds the product as it counts, as readers take alpha for the rank."""
    model = base("sd1")
    concept = LoRA(lr=0.05, rank=4, alpha=1.0, text_lr=0.05, **FEW).fit(model, tiny.pictures(2), PROMPT)
    concept.save(tmp_path / "concept")
    pipe = untouched("sd1", tmp_path)
    pipe.load_lora_weights(tmp_path / "concept")
    same_but_not_as_before(pipe, "sd1", concept, model)


def test_a_lora_with_a_new_token_loads_in_stock_diffusers(tmp_path):
    model = base("sd1")
    concept = LoRA(lr=0.02, token_lr=0.1, **FEW).fit(model, tiny.pictures(2), PROMPT)
    concept.save(tmp_path / "concept")
    pipe = untouched("sd1", tmp_path)
    pipe.load_lora_weights(tmp_path / "concept", weight_name="pytorch_lora_weights.safetensors")
    lora_only = stock_pictures(pipe, "sd1", seed=7)
    pipe.load_textual_inversion(tmp_path / "concept" / "learned_embeds.safetensors")
    same_but_not_as_before(pipe, "sd1", concept, model)
    assert (stock_pictures(pipe, "sd1", seed=7) - lora_only).abs().max() > 1e-4  # the token is needed too


@pytest.mark.parametrize("family", ["sd1", "sd2"])
def test_a_token_loads_in_stock_diffusers(family, tmp_path):
    model = base(family)
    concept = TextualInversion(lr=0.5, **FEW).fit(model, tiny.pictures(2), PROMPT)
    concept.save(tmp_path / "concept")
    pipe = untouched(family, tmp_path)
    pipe.load_textual_inversion(tmp_path / "concept")
    same_but_not_as_before(pipe, family, concept, model)


def test_tokens_of_sdxl_load_in_stock_diffusers(tmp_path):
    model = base("sdxl")
    concept = TextualInversion(lr=0.5, **FEW).fit(model, tiny.pictures(2), PROMPT)
    concept.save(tmp_path / "concept")
    pipe, rows = untouched("sdxl", tmp_path), load_file(tmp_path / "concept" / "learned_embeds.safetensors")
    pipe.load_textual_inversion(rows["clip_l"], "sks", text_encoder=pipe.text_encoder, tokenizer=pipe.tokenizer)
    pipe.load_textual_inversion(rows["clip_g"], "sks", text_encoder=pipe.text_encoder_2, tokenizer=pipe.tokenizer_2)
    same_but_not_as_before(pipe, "sdxl", concept, model)


@pytest.mark.parametrize("family", ["sd1", "sd2"])
def test_keys_values_and_a_word_load_in_stock_diffusers(family, tmp_path):
    model = base(family)
    concept = CustomDiffusion(lr=0.1, **FEW).fit(model, tiny.pictures(2), PROMPT)
    concept.save(tmp_path / "concept")
    pipe, weights = untouched(family, tmp_path), load_file(tmp_path / "concept" / FILE)
    assert not pipe.unet.load_state_dict(weights, strict=False).unexpected_keys and len(weights) >= 4
    pipe.load_textual_inversion(tmp_path / "concept" / "learned_embeds.safetensors")
    same_but_not_as_before(pipe, family, concept, model)


@pytest.mark.parametrize("more", [{}, {"token_lr": 0.1}, {"text_lr": 1e-2, "token_lr": 0.1}])
@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_a_trained_network_is_a_stock_folder(family, more, tmp_path):
    model = base(family)
    concept = DreamBooth(lr=5e-3, **more, **FEW).fit(model, tiny.pictures(2), PROMPT)
    concept.save(tmp_path)
    assert not list(tmp_path.rglob("*.bin"))
    same_but_not_as_before(PIPES[family].from_pretrained(tmp_path), family, concept, model)


def test_a_trained_pixel_model_is_a_stock_folder(tmp_path):
    model = base("ddpm")
    concept = replace(Scratch(lr=5e-3, ema=0.0), **FEW).fit(model, tiny.pictures(2), "")
    concept.save(tmp_path)
    pipe = diffusers.DDIMPipeline.from_pretrained(tmp_path)
    pipe.set_progress_bar_config(disable=True)
    wanted = pipe(batch_size=2, generator=starts(3, 2), num_inference_steps=4, output_type="np").images
    got = concept.generate(["", ""], seed=3, steps=4)
    assert_close(got, torch.from_numpy(wanted).permute(0, 3, 1, 2), rtol=1e-4, atol=1e-5)
    assert (generate(model, ["", ""], seed=3, steps=4) - got).abs().max() > 1e-3


def test_a_generated_picture_does_not_depend_on_those_beside_it():
    model = base("sd1")
    many = generate(model, [PROMPT] * 5 + ["a disc"], seed=2, steps=3)
    assert many.shape == (6, 3, 32, 32) and many.min() >= 0 and many.max() <= 1
    assert_close(generate(model, [PROMPT] * 2, seed=2, steps=3), many[:2], rtol=1e-4, atol=1e-5)
    assert (many[0] - many[1]).abs().max() > 1e-2  # another start
    assert (generate(model, [PROMPT], seed=3, steps=3)[0] - many[0]).abs().max() > 1e-2
    assert generate(model, [PROMPT], steps=1, side=48).shape == (1, 3, 48, 48)


def test_generating_leaves_the_pipeline_as_it_was():
    model = base("sd1")
    scheduler, config = model.pipe.scheduler, dict(model.pipe.config)
    before = {k: v for k, v in vars(scheduler).items() if not isinstance(v, torch.Tensor)}
    generate(model, [PROMPT], steps=2)
    assert model.pipe.scheduler is scheduler and dict(model.pipe.config) == config
    after = {k: v for k, v in vars(scheduler).items() if not isinstance(v, torch.Tensor)}
    assert before == after
