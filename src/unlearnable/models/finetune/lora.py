"""Low-rank adapters (LoRA, Hu et al., arXiv 2106.09685) in a model's networks, through peft."""

from __future__ import annotations

from torch import nn

from unlearnable.models.base import Model, clip_pairs
from unlearnable.rng import seeded

# The last ones are all that a single-stream block of FLUX.2 has.
ATTENTION = (".to_q", ".to_k", ".to_v", ".to_out.0", ".to_qkv_mlp_proj", ".attn.to_out")
CONVOLUTION = ["conv1", "conv2"]  # for pixel U-Nets without attention
TEXT = ["q_proj", "k_proj", "v_proj", "out_proj"]


def add_lora(model: Model, rank: int, seed: int, alpha: float = 0.0) -> list[nn.Parameter]:
    """Add a trainable LoRA to the denoiser, its random half drawn from `seed`; a LoRA that exists is trained on."""
    return inject(model.denoiser, rank, targets(model.denoiser), seed, "lora", alpha=alpha)


def targets(denoiser: nn.Module) -> list[str]:
    """The layers that the field's scripts adapt: queries, keys, values and outputs of all attention."""
    linear = [name for name, module in denoiser.named_modules() if isinstance(module, nn.Linear)]
    return [name for name in linear if name.endswith(ATTENTION)] or CONVOLUTION


def add_text_lora(model: Model, rank: int, seed: int, alpha: float = 0.0) -> list[nn.Parameter]:
    """Add a trainable LoRA to the CLIP text encoders, which must be the model's own (`Model.copy(text=True)`)."""
    encoders = [(name, getattr(model.pipe, name)) for _, name in clip_pairs(model.pipe)]
    return [p for name, encoder in encoders for p in inject(encoder, rank, TEXT, seed, "text lora", name, alpha=alpha)]


def inject(network: nn.Module, rank: int, layers: list[str], *name: object, alpha: float = 0.0) -> list[nn.Parameter]:
    """Add a LoRA to the named layers; returns its parameters, the only trainable ones. `name` seeds its random half.

    Its product counts by alpha / rank; `alpha` 0 is the rank.

    The parameters are float32 even in a bf16 network, as bf16 would lose small updates.
    """
    from peft import LoraConfig, inject_adapter_in_model

    if not any(
        module.endswith("lora_A") for module, _ in network.named_modules()
    ):  # peft would reset it without warning
        with seeded(*name):
            inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=alpha or rank, target_modules=layers), network)
    for key, p in network.named_parameters():
        p.requires_grad_("lora_" in key)
        if "lora_" in key:
            p.data = p.data.float()
    return [p for key, p in network.named_parameters() if "lora_" in key]
