"""Contact sheets to look at: held-out pictures beside their reconstructions, and one sample for each of 24 captions."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from PIL import Image, ImageDraw

from data import Split
from tables import article

SHOWN = (
    "airplane", "motorbike", "face", "person", "car", "watch", "leopard", "grand piano", "sunflower", "rose", "tulip",
    "dandelion", "daisy", "t-shirt", "pair of pants", "pair of shoes", "dress", "hat", "chair", "ketch", "laptop",
    "soccer ball", "starfish", "butterfly",
)  # fmt: skip


def grid(pictures: list[Image.Image], columns: int, titles: list[str] | None = None) -> Image.Image:
    """Equal-sized pictures row by row on white, each with its title below."""
    width, height = pictures[0].size
    text = 14 if titles else 0
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + 4), rows * (height + text + 4)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, picture in enumerate(pictures):
        x, y = i % columns * (width + 4), i // columns * (height + text + 4)
        sheet.paste(picture, (x, y))
        if titles:
            draw.text((x + 2, y + height), titles[i], fill="black")
    return sheet


def reconstruction_sheet(vae: AutoencoderKL, held: Split, file: Path, count: int = 16) -> Path:
    """Pairs (original, reconstruction) of `count` held-out pictures, four pairs a row."""
    from quality import reconstruct

    pixels = held.pixels[:: max(1, len(held) // count)][:count]
    pairs = torch.stack([pixels, reconstruct(vae, pixels)], dim=1).flatten(0, 1)
    pictures = [Image.fromarray(picture.permute(1, 2, 0).numpy()) for picture in pairs]
    grid(pictures, 8).save(file)
    return file


def sample_sheet(pipeline: StableDiffusionPipeline, file: Path, seed: int, guidance: float = 4.0) -> Path:
    """One sample for each caption of SHOWN, 30 steps, with classifier-free guidance."""
    prompts = [f"a photo of {article(label)} {label}" for label in SHOWN]
    rng = [torch.Generator().manual_seed(seed + i) for i in range(len(prompts))]
    pipeline.set_progress_bar_config(disable=True)
    pictures = pipeline(prompts, num_inference_steps=30, guidance_scale=guidance, generator=rng).images
    grid(pictures, 8, list(SHOWN)).save(file)
    return file
