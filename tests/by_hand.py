"""Stock diffusers, called as its own pipelines call it: what our adapters are compared with. Nothing here is ours."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

FLOWS = ("sd3", "flux")
TEXT_TOKENS = 16  # of the tiny T5 tokenizer


def scheduler_of(pipe: Any) -> Any:
    """A fresh scheduler, as far from ours as it was when the pipeline was loaded."""
    return type(pipe.scheduler).from_config(pipe.scheduler.config)


def noised(family: str, pipe: Any, z: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    scheduler = scheduler_of(pipe)
    if family in FLOWS:
        sigma = scheduler.sigmas.flip(0)[t].view(-1, 1, 1, 1)
        return sigma * noise + (1 - sigma) * z
    return scheduler.add_noise(z, noise, t)


def target(family: str, pipe: Any, z: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    if family in FLOWS:
        return noise - z
    if family == "sd2":
        return scheduler_of(pipe).get_velocity(z, noise, t)
    return noise


def encoded(pipe: Any, x: Tensor) -> Tensor:
    pixels = pipe.image_processor.preprocess(x)
    config = pipe.vae.config
    return (pipe.vae.encode(pixels).latent_dist.mode() - (config.shift_factor or 0)) * config.scaling_factor


def decoded(pipe: Any, z: Tensor) -> Tensor:
    config = pipe.vae.config
    sample = pipe.vae.decode(z / config.scaling_factor + (config.shift_factor or 0)).sample
    return pipe.image_processor.postprocess(sample, output_type="pt")


def conditioned(family: str, pipe: Any, prompts: list[str]) -> dict[str, Tensor]:
    one = {"num_images_per_prompt": 1, "device": "cpu"}
    match family:
        case "sd1" | "sd2":
            text, _ = pipe.encode_prompt(prompts, do_classifier_free_guidance=False, **one)
            return {"text": text}
        case "sdxl":
            text, _, pooled, _ = pipe.encode_prompt(prompts, do_classifier_free_guidance=False, **one)
            return {"text": text, "pooled": pooled}
        case "sd3":
            off = {"do_classifier_free_guidance": False, "max_sequence_length": TEXT_TOKENS}
            text, _, pooled, _ = pipe.encode_prompt(prompts, prompts, prompts, **off, **one)
            return {"text": text, "pooled": pooled}
        case "flux":
            text, pooled, ids = pipe.encode_prompt(prompts, prompts, max_sequence_length=TEXT_TOKENS, **one)
            return {"text": text, "pooled": pooled, "ids": ids}
    return {}


def answered(family: str, pipe: Any, z_t: Tensor, t: Tensor, prompts: list[str], guidance: float = 1.0) -> Tensor:
    """The network's answer as in the pipeline's ``__call__``, one prompt per picture."""
    c = conditioned(family, pipe, prompts)
    batch, channels, rows, cols = z_t.shape
    match family:
        case "ddpm":
            return pipe.unet(z_t, t).sample
        case "sd1" | "sd2":
            return pipe.unet(z_t, t, encoder_hidden_states=c["text"]).sample
        case "sdxl":
            size = (rows * pipe.vae_scale_factor, cols * pipe.vae_scale_factor)
            width = c["pooled"].shape[-1]
            ids = pipe._get_add_time_ids(size, (0, 0), size, dtype=z_t.dtype, text_encoder_projection_dim=width)
            extra = {"text_embeds": c["pooled"], "time_ids": ids.repeat(batch, 1)}
            return pipe.unet(z_t, t, encoder_hidden_states=c["text"], added_cond_kwargs=extra).sample
    timestep = scheduler_of(pipe).timesteps.flip(0)[t]
    text = {"encoder_hidden_states": c["text"], "pooled_projections": c["pooled"]}
    if family == "sd3":
        return pipe.transformer(hidden_states=z_t, timestep=timestep, **text).sample
    packed = pipe._pack_latents(z_t, batch, channels, rows, cols)
    places = pipe._prepare_latent_image_ids(batch, rows // 2, cols // 2, "cpu", z_t.dtype)
    strength = torch.full([1], guidance).expand(batch)
    answer = pipe.transformer(
        hidden_states=packed, timestep=timestep / 1000, guidance=strength, txt_ids=c["ids"], img_ids=places, **text
    ).sample
    return pipe._unpack_latents(
        answer, rows * pipe.vae_scale_factor, cols * pipe.vae_scale_factor, pipe.vae_scale_factor
    )
