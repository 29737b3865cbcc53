"""Families of latents: the autoencoder's repository and class, and the models that are trained on it."""

from __future__ import annotations

from dataclasses import dataclass

from unlearnable.errors import UsageError, suggestion


@dataclass(frozen=True)
class Family:
    """An autoencoder by its repository on the hub; `kind` is its diffusers class, `megabytes` its download's size."""

    name: str
    repository: str
    kind: str
    megabytes: int
    models: str
    subfolder: str = "vae"


FAMILIES = {
    family.name: family
    for family in (
        Family("sd1", "stable-diffusion-v1-5/stable-diffusion-v1-5", "AutoencoderKL", 335, "Stable Diffusion 1.x, 2.x"),
        Family("sdxl", "stabilityai/stable-diffusion-xl-base-1.0", "AutoencoderKL", 335, "SDXL, Pony, Illustrious"),
        Family("sd3", "stabilityai/stable-diffusion-3-medium-diffusers", "AutoencoderKL", 168, "SD3, SD3.5"),
        Family(
            "flux1", "black-forest-labs/FLUX.1-schnell", "AutoencoderKL", 168,
            "FLUX.1, Chroma, Lumina 2, HiDream, Z-Image",
        ),
        Family(
            "flux2", "black-forest-labs/FLUX.2-klein-4B", "AutoencoderKLFlux2", 168,
            "FLUX.2, Ideogram 4, ERNIE-Image, FIBO 2",
        ),
        Family("qwen", "Qwen/Qwen-Image", "AutoencoderKLQwenImage", 254, "Qwen-Image, Wan 2.1, Krea 2, Anima"),
        Family("sana", "Efficient-Large-Model/Sana_600M_512px_diffusers", "AutoencoderDC", 1250, "Sana"),
    )
}  # fmt: skip


def check(names: str) -> None:
    """Raise UsageError for a text that names an unknown encoder, without loading any."""
    for name in filter(None, map(str.strip, names.split(","))):
        if "=" not in name and name != "all":
            family(name)


def family(name: str) -> Family:
    """The family of a name. Raises UsageError for an unknown name."""
    if name not in FAMILIES:
        raise UsageError(
            f"unknown encoder {name!r}: {suggestion(name, [*FAMILIES])} (your own is named as NAME=FOLDER-or-hub-id)"
        )
    return FAMILIES[name]
