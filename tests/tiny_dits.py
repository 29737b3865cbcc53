"""Tiny pipelines of the newer transformers, built from config; `fit.py` fits them on `tiny.pictures`."""

from __future__ import annotations

from functools import cache
from typing import Any

import diffusers
import pytest
import torch
import transformers

import tiny
from unlearnable.models.adapters import adapt
from unlearnable.models.base import Model

# the test's name: our name of the family
DITS = {
    "zimage": "zimage", "qwen": "qwen", "flux2": "flux2", "chroma": "chroma", "sd35": "sd3", "sana": "sana",
    "pixart": "pixart", "lumina2": "lumina2",
}  # fmt: skip
HEADS = {"num_layers": 2, "attention_head_dim": 16, "num_attention_heads": 2}
TOKENS = 48
CHAT = "{% for message in messages %}<{{ message.content }}>{% endfor %}"


def some(*quick: str) -> list[Any]:
    """All families as a test's parameters: those named by default, the others with -m slow."""
    return [pytest.param(family, marks=() if family in quick else pytest.mark.slow) for family in DITS]


def build(family: str, seed: int = 0) -> Any:
    """A random-weight diffusers pipeline of one family; a few ten thousand parameters, 32 px."""
    torch.manual_seed(seed)
    if family == "sd35":  # SD 3.5 medium: normalised queries and keys, and a second attention in some layers
        pipe = tiny.build("sd3", seed)
        settings = {name: value for name, value in pipe.transformer.config.items() if not name.startswith("_")}
        settings |= {"qk_norm": "rms_norm", "dual_attention_layers": (0,)}
        pipe.transformer = diffusers.SD3Transformer2DModel(**settings)
        return pipe
    parts, pipeline = globals()[f"parts_{family}"](), getattr(diffusers, PIPELINES[family])
    scheduler = parts.pop("scheduler", None) or diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    pipe = pipeline(scheduler=scheduler, **{"vae": tiny.vae(4, 0.1), **parts})
    if family == "lumina2":
        pipe.vae_scale_factor = 4  # it is 8 whatever the autoencoder
    for network in (pipe.transformer, pipe.vae):  # gates and projections that start at zero would hide what they do
        for p in network.parameters():
            p.data += 0.05 * torch.randn_like(p)
    return pipe


PIPELINES = {
    "zimage": "ZImagePipeline", "qwen": "QwenImagePipeline", "flux2": "Flux2KleinPipeline", "chroma": "ChromaPipeline",
    "sana": "SanaPipeline", "pixart": "PixArtSigmaPipeline", "lumina2": "Lumina2Pipeline",
}  # fmt: skip


def parts_zimage() -> dict[str, Any]:
    transformer = diffusers.ZImageTransformer2DModel(
        in_channels=4, dim=32, n_layers=2, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=16,
        axes_dims=[4, 6, 6], axes_lens=[128, 32, 32],
    )  # fmt: skip
    return {"transformer": transformer, "text_encoder": qwen3(2), "tokenizer": qwen_tokenizer()}


def parts_qwen() -> dict[str, Any]:
    text = transformers.Qwen2_5_VLConfig(
        text_config=SMALL | {"num_hidden_layers": 1, "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}},
        vision_config={"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16},
    )
    transformer = diffusers.QwenImageTransformer2DModel(
        in_channels=16, out_channels=4, joint_attention_dim=16, axes_dims_rope=(4, 6, 6), **HEADS
    )
    vae = diffusers.AutoencoderKLQwenImage(
        base_dim=8, z_dim=4, dim_mult=[1, 2, 2], num_res_blocks=1, temperal_downsample=[False, True],
        latents_mean=[0.1, -0.1, 0.0, 0.05], latents_std=[0.5, 0.6, 0.4, 0.5],
    )  # fmt: skip
    encoder = transformers.Qwen2_5_VLForConditionalGeneration(text).eval()
    return {"transformer": transformer, "text_encoder": encoder, "tokenizer": qwen_tokenizer(256), "vae": vae}


def parts_flux2() -> dict[str, Any]:
    transformer = diffusers.Flux2Transformer2DModel(
        in_channels=16, num_single_layers=1, joint_attention_dim=48, timestep_guidance_channels=32,
        axes_dims_rope=(4, 4, 4, 4), guidance_embeds=False, **HEADS,
    )  # fmt: skip
    vae = diffusers.AutoencoderKLFlux2(
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2, latent_channels=4,
        block_out_channels=(16, 16), layers_per_block=1, norm_num_groups=4, sample_size=32,
        mid_block_add_attention=False,
    )  # fmt: skip
    vae.bn.running_mean.normal_()
    vae.bn.running_var.uniform_(0.5, 2)
    # the pipeline takes the outputs of layers 9, 18 and 27
    return {"transformer": transformer, "text_encoder": qwen3(27), "tokenizer": qwen_tokenizer(), "vae": vae}


def parts_chroma() -> dict[str, Any]:
    transformer = diffusers.ChromaTransformer2DModel(
        in_channels=16, num_single_layers=1, joint_attention_dim=32, axes_dims_rope=(4, 4, 8),
        approximator_num_channels=16, approximator_hidden_dim=16, approximator_layers=1, **HEADS,
    )  # fmt: skip
    return {"transformer": transformer, **t5()}


def parts_sana() -> dict[str, Any]:
    transformer = diffusers.SanaTransformer2DModel(
        in_channels=4, out_channels=4, num_cross_attention_heads=2, cross_attention_head_dim=16,
        cross_attention_dim=32, caption_channels=16, sample_size=8, timestep_scale=0.5, **HEADS,
    )  # fmt: skip
    vae = diffusers.AutoencoderDC(
        latent_channels=4, attention_head_dim=4, scaling_factor=0.41,
        encoder_block_out_channels=(8, 8, 16), decoder_block_out_channels=(8, 8, 16),
        encoder_layers_per_block=(1, 1, 1), decoder_layers_per_block=(1, 1, 1),
        encoder_qkv_multiscales=((), (), ()), decoder_qkv_multiscales=((), (), ()),
    )  # fmt: skip
    scheduler = diffusers.DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    return {"transformer": transformer, "vae": vae, "scheduler": scheduler, **gemma()}


def parts_pixart() -> dict[str, Any]:
    transformer = diffusers.PixArtTransformer2DModel(
        in_channels=4, out_channels=8, cross_attention_dim=32, caption_channels=32, sample_size=8, **HEADS
    )
    scheduler = diffusers.DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02)
    return {"transformer": transformer, "scheduler": scheduler, **t5(), "vae": tiny.vae(4)}


def parts_lumina2() -> dict[str, Any]:
    transformer = diffusers.Lumina2Transformer2DModel(
        sample_size=8, in_channels=4, hidden_size=32, num_layers=2, num_refiner_layers=1, num_attention_heads=2,
        num_kv_heads=1, multiple_of=8, axes_dim_rope=(4, 6, 6), axes_lens=(256, 32, 32), cap_feat_dim=16,
    )  # fmt: skip
    return {"transformer": transformer, **gemma()}


SMALL: dict[str, Any] = {
    "vocab_size": 260, "hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 2,
    "max_position_embeddings": 2048, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip


def t5() -> dict[str, Any]:
    tokenizer = tiny.t5_tokenizer()
    tokenizer.model_max_length = TOKENS
    return {"text_encoder": tiny.t5(), "tokenizer": tokenizer}


def qwen3(layers: int) -> Any:
    return transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**SMALL, head_dim=8, num_hidden_layers=layers)).eval()


def gemma() -> dict[str, Any]:
    config = transformers.Gemma2Config(**SMALL, head_dim=8, num_hidden_layers=2)
    words = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "▁": 4} | {chr(i): i for i in range(33, 127)}
    tokenizer = transformers.GemmaTokenizer(vocab=words, merges=[], model_max_length=256)
    return {"text_encoder": transformers.Gemma2Model(config).eval(), "tokenizer": tokenizer}


def qwen_tokenizer(longest: int = TOKENS) -> Any:
    from tokenizers.pre_tokenizers import ByteLevel

    words = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *sorted(ByteLevel.alphabet())]
    tokenizer = transformers.Qwen2Tokenizer(
        vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=longest
    )
    tokenizer.chat_template = CHAT
    return tokenizer


@cache
def fitted(family: str) -> Model:
    """The model of one family with a denoiser fitted to `tiny.pictures`; never change it, `copy` it."""
    model = adapt(build(family), f"tiny-{family}")
    if type(model.pipe.vae).__name__ == "AutoencoderKL":
        tiny.fit_autoencoder(model)
    model.denoiser.load_state_dict(tiny.weights(family))
    return model
