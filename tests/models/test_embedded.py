"""The model that ships: stock diffusers loads it, it is small, and it does what its card says, at least roughly."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

FOLDER = Path(__file__).resolve().parents[2] / "src" / "unlearnable" / "models" / "embedded"
PSNR_FLOOR = 26.0  # dB
V_ERROR_CEILING = 0.8


@pytest.fixture(scope="module")
def pipeline():
    from diffusers import StableDiffusionPipeline

    loaded = StableDiffusionPipeline.from_pretrained(FOLDER, safety_checker=None)  # as the model card has it
    assert {m.dtype for m in (loaded.unet, loaded.vae, loaded.text_encoder)} == {torch.float32}
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.fixture(scope="module")
def photos():
    """Photographs the model has not seen, shrunk to 128 px: [3, 3, 128, 128] in [0, 1]."""
    import skimage
    from skimage.transform import resize

    pictures = [
        skimage.data.astronaut()[:400, 50:450],
        skimage.data.cat()[:300, 80:380],
        skimage.data.coffee()[:400, :400],
    ]
    small = [resize(picture, (128, 128), anti_aliasing=True) for picture in pictures]
    return torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float()


def sample(pipeline, prompt, steps=4):
    rng = torch.Generator().manual_seed(0)
    return np.asarray(pipeline(prompt, num_inference_steps=steps, guidance_scale=4.0, generator=rng).images[0])


def test_it_is_small_half_precision_and_safetensors_only():
    files = [file for file in FOLDER.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 60e6
    assert {file.suffix for file in files} <= {".safetensors", ".json", ".md", ".txt"}
    for file in FOLDER.rglob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            assert {opened.get_slice(name).get_dtype() for name in opened.keys()} == {"F16"}, file  # noqa: SIM118


def test_its_settings_name_no_folder_of_the_machine_it_was_made_on():
    assert not [file for file in FOLDER.rglob("*.json") if "_name_or_path" in file.read_text(encoding="utf-8")]


def test_it_has_a_model_card():
    card = " ".join((FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8").split())
    for needed in ("Caltech-101", "tf_flowers", "CC0", "CC BY 4.0", "not a verdict about Stable Diffusion"):
        assert needed in card


def test_stock_diffusers_samples_and_the_caption_matters(pipeline):
    pictures = [sample(pipeline, prompt) for prompt in ("a photo of a sunflower", "a photo of an airplane")]
    assert pictures[0].shape == (128, 128, 3)
    assert pictures[0].std() > 10
    assert np.abs(pictures[0].astype(float) - pictures[1]).mean() > 10


def test_an_unknown_word_does_not_break_it(pipeline):
    assert sample(pipeline, "a photo of a zyzzyva 🎉", steps=2).std() > 5


@torch.no_grad()
def test_the_autoencoder_reconstructs_photographs(pipeline, photos):
    x = photos * 2 - 1
    z = pipeline.vae.encode(x).latent_dist.mode()
    out = pipeline.vae.decode(z).sample.clamp(-1, 1)
    psnr = 10 * torch.log10(4 / (out - x).square().mean((1, 2, 3)))
    assert z.shape == (3, 32, 16, 16)
    assert psnr.min() > PSNR_FLOOR
    assert 0.5 < (z * pipeline.vae.config.scaling_factor).std() < 2


@torch.no_grad()
def test_it_denoises_photographs_it_has_not_seen(pipeline, photos):
    """The squared error of v stays well below 1, which is what predicting zero scores."""
    z = pipeline.vae.encode(photos * 2 - 1).latent_dist.mean * pipeline.vae.config.scaling_factor
    text = pipeline.encode_prompt(["a photo"] * len(z), "cpu", 1, False)[0]
    errors = []
    for step in (100, 300, 500, 700):
        t = torch.full((len(z),), step)
        noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(step))
        out = pipeline.unet(pipeline.scheduler.add_noise(z, noise, t), t, text).sample
        errors.append((out - pipeline.scheduler.get_velocity(z, noise, t)).square().mean())
    assert sum(errors) / len(errors) < V_ERROR_CEILING


def test_a_token_can_be_added_as_textual_inversion_does():
    from transformers import CLIPTextModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(FOLDER / "tokenizer")
    text_encoder = CLIPTextModel.from_pretrained(FOLDER / "text_encoder").float()
    before = len(tokenizer)
    assert tokenizer.add_tokens("<my-cat>") == 1
    text_encoder.resize_token_embeddings(len(tokenizer))
    ids = tokenizer("a photo of <my-cat>", padding="max_length", max_length=77, return_tensors="pt").input_ids
    assert before in ids
    text_encoder(ids).last_hidden_state.square().mean().backward()
    assert text_encoder.get_input_embeddings().weight.grad[before].abs().sum() > 0
