"""Encoders by themselves: their latents are what the stock pipelines would feed their networks; what cannot be had."""

import json
from dataclasses import replace
from types import SimpleNamespace

import diffusers
import pytest
import torch
from diffusers.pipelines.flux2.pipeline_flux2_klein import Flux2KleinPipeline
from huggingface_hub.errors import GatedRepoError
from torch.testing import assert_close

import tiny
from unlearnable.errors import SetupError, UsageError
from unlearnable.models.encoders import load as encoders
from unlearnable.models.encoders import standin
from unlearnable.models.encoders.families import FAMILIES
from unlearnable.models.encoders.latents import CLASSES

PLAIN = {
    "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2,
    "block_out_channels": (8, 16), "norm_num_groups": 4, "sample_size": 32,
}  # fmt: skip
VIDEO = {"base_dim": 8, "z_dim": 4, "dim_mult": [1, 2, 2], "num_res_blocks": 1, "temperal_downsample": [False, True]}
STATISTICS = {"latents_mean": [0.5, -0.25, 0.1, 0.0], "latents_std": [2.0, 1.5, 1.1, 0.7]}
BUILD = {
    "sd1": lambda: diffusers.AutoencoderKL(**PLAIN, latent_channels=4, scaling_factor=0.18215),
    "sdxl": lambda: diffusers.AutoencoderKL(**PLAIN, latent_channels=4, scaling_factor=0.13025, **STATISTICS),
    "flux1": lambda: diffusers.AutoencoderKL(**PLAIN, latent_channels=16, scaling_factor=0.36, shift_factor=0.11),
    "flux2": lambda: flux2(),
    "qwen": lambda: diffusers.AutoencoderKLQwenImage(**VIDEO, **STATISTICS),
    "wan": lambda: diffusers.AutoencoderKLWan(**VIDEO, **STATISTICS),
    "sana": lambda: diffusers.AutoencoderDC(
        latent_channels=4, attention_head_dim=4, scaling_factor=0.41,
        encoder_block_out_channels=(8, 16), decoder_block_out_channels=(8, 16), encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1), encoder_qkv_multiscales=((), ()), decoder_qkv_multiscales=((), ()),
    ),
    "tiny": lambda: diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8, 8), decoder_block_out_channels=(8, 8), num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1), latent_channels=4,
    ),
}  # fmt: skip


def flux2():
    vae = diffusers.AutoencoderKLFlux2(**PLAIN, latent_channels=4)
    vae.bn.running_mean.normal_()
    vae.bn.running_var.uniform_(0.5, 2)
    return vae


def build(name):
    torch.manual_seed(0)
    vae = BUILD[name]().eval()
    for p in vae.parameters():  # biases and gates that start at zero or one would hide what they do
        p.data += 0.05 * torch.randn_like(p)
    return vae


def by_pipeline(name, vae, x, monkeypatch):
    """What the family's pipeline makes of pictures in [-1, 1]; its draw from the posterior is the mode."""
    pipelines = {
        "sd1": diffusers.StableDiffusionXLImg2ImgPipeline, "sdxl": diffusers.StableDiffusionXLImg2ImgPipeline,
        "flux1": diffusers.FluxImg2ImgPipeline, "flux2": Flux2KleinPipeline,
        "qwen": diffusers.QwenImageImg2ImgPipeline, "wan": diffusers.QwenImageImg2ImgPipeline,
    }  # fmt: skip
    if name == "sana":  # decoding begins with latents / scaling_factor
        return vae.encode(x).latent * vae.config.scaling_factor
    if name == "tiny":
        return vae.encode(x).latents
    pipeline = pipelines[name]
    module = __import__(pipeline.__module__, fromlist=["retrieve_latents"])
    monkeypatch.setattr(module, "retrieve_latents", lambda out, generator=None, sample_mode="": out.latent_dist.mode())
    here = SimpleNamespace(vae=vae, vae_scale_factor=2, scheduler=None)
    if name in ("sd1", "sdxl"):
        return pipeline.prepare_latents(here, x, None, len(x), 1, torch.float32, "cpu", add_noise=False)
    if name == "flux2":
        here._patchify_latents = pipeline._patchify_latents
    if name in ("qwen", "wan"):
        return pipeline._encode_vae_image(here, x.unsqueeze(2), None).squeeze(2)
    return pipeline._encode_vae_image(here, x, None)


@pytest.mark.parametrize("name", BUILD)
def test_latents_are_those_of_the_stock_pipeline(name, tmp_path, monkeypatch):
    vae, x = build(name), tiny.pictures(2, side=32)
    vae.save_pretrained(tmp_path / "vae")
    encoder = encoders.load(f"mine={tmp_path}")[0]
    with torch.no_grad():
        ours, theirs = encoder(x), by_pipeline(name, vae, 2 * x - 1, monkeypatch)
    assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert theirs.std() > 1e-3 and encoder.real and encoder.source == str(tmp_path)
    assert x.shape[-1] // ours.shape[-1] == encoder.multiple
    assert not any(part.startswith(("decoder.", "post_quant_conv.")) for part in encoder.network.state_dict())


@pytest.mark.parametrize("name", BUILD)
def test_gradients_reach_the_picture(name, tmp_path):
    build(name).save_pretrained(tmp_path)
    x = tiny.pictures(1, side=32).requires_grad_(True)
    encoders.load(f"mine={tmp_path}")[0](x).square().sum().backward()
    assert x.grad is not None and x.grad.abs().max() > 0


def test_every_family_has_a_known_class_and_every_class_is_tested():
    assert {family.kind for family in FAMILIES.values()} <= set(CLASSES)
    assert {type(build(name)).__name__ for name in BUILD} == set(CLASSES)


def test_stand_ins_take_the_place_of_what_is_not_here():
    found = encoders.load("flux2, sd1,flux2", offline=True)
    assert [(e.name, e.real, e.source) for e in found] == [
        ("flux2", False, "stand-in that ships"), ("sd1", False, "stand-in that ships"),
    ]  # fmt: skip
    x = tiny.pictures(2, side=64)
    for encoder, channels in zip(found, (32, 4)):
        with torch.no_grad():
            z = encoder(x)
        assert z.shape == (2, channels, 8, 8) and 0.2 < z.std() < 3
    assert standin.NAMES == ("flux2", "sd1")


def test_the_real_one_is_taken_where_it_is(tmp_path, monkeypatch):
    build("sd1").save_pretrained(tmp_path / "vae")
    monkeypatch.setitem(FAMILIES, "sd1", replace(FAMILIES["sd1"], repository=str(tmp_path)))
    assert encoders.load("sd1")[0].real


@pytest.mark.parametrize(
    "names, kind, sentence",
    [
        ("sdx", UsageError, "unknown encoder 'sdx': did you mean 'sdxl'"),
        (" ,", UsageError, "no encoder is named"),
        ("mine=", UsageError, "has no source"),
        ("mine=nobody/nothing", SetupError, "not on this machine and could not be fetched: run once with network"),
        ("sdxl", SetupError, "stabilityai/stable-diffusion-xl-base-1.0 is not on this machine"),
    ],
)
def test_what_cannot_be_had_is_one_sentence(names, kind, sentence):
    with pytest.raises(kind, match=sentence) as caught:
        encoders.load(names, offline=True)
    assert "\n" not in str(caught.value)


def test_broken_folders_are_one_sentence(tmp_path, monkeypatch):
    build("sd1").save_pretrained(tmp_path / "wrong" / "vae")
    monkeypatch.setitem(
        FAMILIES, "flux2", FAMILIES["flux2"].__class__("flux2", str(tmp_path / "wrong"), "AutoencoderKLFlux2", 1, "")
    )
    with pytest.raises(UsageError, match="holds a AutoencoderKL, where flux2 has a AutoencoderKLFlux2"):
        encoders.load("flux2")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SetupError, match="holds no autoencoder"):
        encoders.load(f"mine={tmp_path / 'empty'}")
    weights = tmp_path / "wrong" / "vae" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SetupError, match="is no whole safetensors file of a AutoencoderKL"):
        encoders.load(f"mine={tmp_path / 'wrong'}")
    config = tmp_path / "wrong" / "vae" / "config.json"
    weights.write_bytes(whole)
    config.write_text(json.dumps(json.loads(config.read_text()) | {"_class_name": "AutoencoderOobleck"}))
    with pytest.raises(UsageError, match="whose latents are not known here"):
        encoders.load(f"mine={tmp_path / 'wrong'}")


def test_a_gated_repository_says_what_to_do(monkeypatch):
    def refuse(*args, **options):
        raise GatedRepoError("Cannot access gated repo", response=SimpleNamespace(headers={}, request=None))

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with pytest.raises(SetupError, match="accept its licence on its page and log in"):
        encoders.load("mine=black-forest-labs/FLUX.1-dev")
