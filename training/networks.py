"""The shapes of the embedded model's U-Net, text encoder and noise schedule, in one place."""

from dataclasses import dataclass

from diffusers import DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer


@dataclass(frozen=True)
class Shape:
    """Widths of the U-Net's levels (16, 8 and 4 px of latents), latent channels, and width of the text encoder."""

    widths: tuple[int, ...] = (96, 160, 192)
    channels: int = 32
    heads: int = 4
    text_width: int = 160
    text_layers: int = 2


def build_unet(shape: Shape) -> UNet2DConditionModel:
    """An untrained U-Net with text attention at the lower two levels."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=shape.channels,
        out_channels=shape.channels,
        layers_per_block=1,
        block_out_channels=shape.widths,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=shape.text_width,
        attention_head_dim=shape.heads,
        norm_num_groups=32,
    )


def build_text_encoder(shape: Shape, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """An untrained text encoder for the tokenizer's vocabulary."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.text_width,
            intermediate_size=4 * shape.text_width,
            num_hidden_layers=shape.text_layers,
            num_attention_heads=4,
            max_position_embeddings=tokenizer.model_max_length,
            projection_dim=shape.text_width,
            hidden_act="quick_gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_scheduler() -> DDIMScheduler:
    """Stable Diffusion's schedule; the network predicts v (Salimans & Ho 2022, arXiv 2202.00512)."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
    )
