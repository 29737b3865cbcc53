"""Tiny pipelines of all six families, built from config, and fitted: a random network would make tests vacuous."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor

from unlearnable.models.adapters import adapt
from unlearnable.models.base import Model
from unlearnable.models.finetune.training import denoising_loss
from unlearnable.rng import generator, normal

FAMILIES = ("sd1", "sd2", "sdxl", "sd3", "flux", "ddpm")
SIDE = 32
PROMPT = "a photo of sks"
FITTED = Path(__file__).with_name("fitted")


def pictures(count: int, seed: int = 0, side: int = SIDE) -> Tensor:
    """Discs on gradients in random colours, ``[count 3 side side]`` in [0, 1] on the 8-bit grid."""
    rng = generator(seed, "tiny pictures")
    draw = torch.rand(count, 10, generator=rng)[:, :, None, None]
    axis = torch.linspace(0, 1, side)
    rows, cols = axis.view(1, 1, side, 1), axis.view(1, 1, 1, side)
    ground = draw[:, 0:3] * rows + draw[:, 3:6] * cols
    distance = (rows - 0.25 - draw[:, 6:7] / 2) ** 2 + (cols - 0.25 - draw[:, 7:8] / 2) ** 2
    disc = torch.sigmoid(60 * (0.03 + 0.05 * draw[:, 8:9] - distance))
    x = (
        ground / 2
        + disc * (draw[:, 3:6].flip(1) - ground / 2)
        + 0.04 * torch.sin(40 * rows * draw[:, 9:10] + 40 * cols)
    )
    return (x.clamp(0, 1) * 255).round() / 255


def build(family: str, seed: int = 0) -> Any:
    """A random-weight diffusers pipeline of one family; a few ten thousand parameters, 32 px."""
    torch.manual_seed(seed)
    match family:
        case "sd1" | "sd2":
            prediction = "epsilon" if family == "sd1" else "v_prediction"
            parts = {"vae": vae(4), "unet": unet(), "text_encoder": clip(), "tokenizer": clip_tokenizer()}
            off = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
            return diffusers.StableDiffusionPipeline(**parts, scheduler=ddim(prediction), **off)
        case "sdxl":
            extra = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
            wide = unet(cross_attention_dim=32, projection_class_embeddings_input_dim=16 + 6 * 8, **extra)
            parts = {"text_encoder": clip(), "text_encoder_2": clip(True), "tokenizer": clip_tokenizer()}
            parts |= {"tokenizer_2": clip_tokenizer(), "vae": vae(4), "unet": wide}
            return diffusers.StableDiffusionXLPipeline(**parts, scheduler=ddim("epsilon"))
        case "sd3":
            transformer = diffusers.SD3Transformer2DModel(
                sample_size=8, patch_size=2, in_channels=4, out_channels=4, num_layers=2, attention_head_dim=16,
                num_attention_heads=2, joint_attention_dim=32, caption_projection_dim=32, pooled_projection_dim=32,
                pos_embed_max_size=24,
            )  # fmt: skip
            scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
            parts = {"text_encoder": clip(True), "text_encoder_2": clip(True), "text_encoder_3": t5()}
            parts |= {"tokenizer": clip_tokenizer(), "tokenizer_2": clip_tokenizer(), "tokenizer_3": t5_tokenizer()}
            parts |= {"vae": vae(4, 0.1), "transformer": transformer}
            return diffusers.StableDiffusion3Pipeline(**parts, scheduler=scheduler)
        case "flux":
            transformer = diffusers.FluxTransformer2DModel(
                patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
                num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=16, axes_dims_rope=[4, 4, 8],
                guidance_embeds=True,
            )  # fmt: skip
            scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=1.0)
            parts = {"text_encoder": clip(), "text_encoder_2": t5(), "tokenizer": clip_tokenizer()}
            parts |= {"tokenizer_2": t5_tokenizer(), "vae": vae(4, 0.1), "transformer": transformer}
            return diffusers.FluxPipeline(**parts, scheduler=scheduler)
        case "ddpm":
            network = diffusers.UNet2DModel(
                sample_size=16, in_channels=3, out_channels=3, block_out_channels=(16, 32), layers_per_block=1,
                down_block_types=("DownBlock2D", "AttnDownBlock2D"), norm_num_groups=4,
                up_block_types=("AttnUpBlock2D", "UpBlock2D"), attention_head_dim=8,
            )  # fmt: skip
            return diffusers.DDPMPipeline(unet=network, scheduler=diffusers.DDPMScheduler())
    raise ValueError(family)


@cache
def fitted(family: str) -> Model:
    """The model of one family, its autoencoder and denoiser fitted to `pictures`; never change it, `copy` it.

    The weights are files that `tests/fit.py` made: a fit on the spot would end elsewhere on another processor.
    """
    model = adapt(build(family), f"tiny-{family}")
    if family != "ddpm":
        fit_autoencoder(model)
    model.denoiser.load_state_dict(weights(family))
    return model


def weights(name: str) -> dict[str, Tensor]:
    return {key: value.float() for key, value in load_file(FITTED / f"{name}.safetensors").items()}


def fit_autoencoder(model: Any) -> None:
    model.vae.load_state_dict(weights("autoencoder"))


@torch.no_grad()
def loss_of(model: Model, x: Tensor, draws: int = 16) -> float:
    """Mean denoising loss on fixed noise and stratified times."""
    z, c, total = model.encode(x), model.condition([PROMPT]), 0.0
    for i in range(draws):
        t = torch.full([len(z)], int((i + 0.5) / draws * len(model.schedule)))
        noise = normal([str(i)], z.shape, "loss_of")[0]
        total += float(denoising_loss(model, z, noise, t, c).mean()) / draws
    return total


def vae(channels: int, shift: float | None = None) -> Any:
    return diffusers.AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 3, up_block_types=["UpDecoderBlock2D"] * 3, latent_channels=channels,
        block_out_channels=(16, 16, 32), layers_per_block=1, norm_num_groups=4, sample_size=SIDE, scaling_factor=1.0,
        shift_factor=shift, mid_block_add_attention=False,
    )  # fmt: skip


def unet(**more: Any) -> Any:
    settings: dict[str, Any] = {
        "sample_size": 8, "block_out_channels": (16, 32), "layers_per_block": 1, "norm_num_groups": 8,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "cross_attention_dim": 16,
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"), "attention_head_dim": 4,
    }  # fmt: skip
    return diffusers.UNet2DConditionModel(**(settings | more))


def ddim(prediction: str) -> Any:
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    return diffusers.DDIMScheduler(
        **betas, clip_sample=False, set_alpha_to_one=False, steps_offset=1, prediction_type=prediction
    )


def clip(projection: bool = False) -> Any:
    config = transformers.CLIPTextConfig(
        vocab_size=514, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        projection_dim=16, bos_token_id=512, eos_token_id=513, pad_token_id=513,
    )  # fmt: skip
    kind = transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel
    return kind(config).eval()


def clip_tokenizer() -> Any:
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *[f"{letter}</w>" for letter in letters], "<|startoftext|>", "<|endoftext|>"]
    return transformers.CLIPTokenizer(vocab={w: i for i, w in enumerate(words)}, merges=[], model_max_length=77)


def t5() -> Any:
    config = transformers.T5Config(
        vocab_size=200, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu"
    )
    return transformers.T5EncoderModel(config).eval()


def t5_tokenizer() -> Any:
    words = ["<pad>", "</s>", "<unk>", "▁", *[chr(i) for i in range(33, 127)]]
    return transformers.T5Tokenizer(vocab=[(w, -1.0) for w in words], extra_ids=0, model_max_length=16)
