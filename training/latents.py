"""Encode every training picture once, so that the U-Net trains on cached latents.

Copy 0 of a picture is the picture; the other copies are mirrored, cropped a little and their colours shifted a little.
"""

import hashlib
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from safetensors import safe_open

from common import step_rng, write_atomically
from data import Split, jitter, to_float


def fingerprint(vae_folder: Path) -> str:
    """Changes when the autoencoder's weights or the way copies are made change."""
    digest = hashlib.sha256((vae_folder / "diffusion_pytorch_model.safetensors").read_bytes()).hexdigest()
    return f"copies-v1-{digest[:16]}"


def augmented(pictures: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Mirrored, randomly cropped to 104..128 px and back to full size, colours shifted; [b, 3, h, w] in [-1, 1]."""
    size = pictures.shape[-1]
    side = int(torch.randint(size * 13 // 16, size + 1, (), generator=rng))
    top, left = torch.randint(0, size - side + 1, (2,), generator=rng).tolist()
    crops = pictures.flip(-1)[..., top : top + side, left : left + side]
    return jitter(F.interpolate(crops, size=(size, size), mode="bicubic", align_corners=False).clamp(-1, 1), rng)


def encode(
    vae: AutoencoderKL, split: Split, copies: int, device: torch.device, shards: int = 1, seed: int = 0
) -> torch.Tensor:
    """Scaled latents (posterior means) as fp16 [copies, n, 4, 16, 16], by `shards` threads."""
    vae = vae.to(device, memory_format=torch.channels_last).eval()
    chunks = split.pixels.split(16)
    began = time.monotonic()

    @torch.no_grad()
    def one(job: tuple[int, int]) -> torch.Tensor:
        copy, number = job
        x = to_float(chunks[number])
        if copy:
            x = augmented(x, step_rng(seed + copy, number))
        z = vae.encode(x.to(device, memory_format=torch.channels_last)).latent_dist.mean
        if number % 100 == 0:
            print(f"encoding copy {copy}: {16 * number}/{len(split)}, {time.monotonic() - began:.0f} s", flush=True)
        return (z * vae.config.scaling_factor).half().cpu()

    jobs = [(copy, number) for copy in range(copies) for number in range(len(chunks))]
    with ThreadPoolExecutor(shards) as pool:
        latents = torch.cat(list(pool.map(one, jobs)))
    return latents.unflatten(0, (copies, len(split))).contiguous()


def cached(file: Path, vae_folder: Path, split: Split, copies: int, device: torch.device, shards: int) -> torch.Tensor:
    """`encode`, kept in a file which is made again when the autoencoder or the pictures change."""
    wanted = json.dumps({"vae": fingerprint(vae_folder), "copies": copies, "pictures": len(split)}, sort_keys=True)
    if file.is_file():
        with safe_open(file, "pt") as opened:
            if opened.metadata()["made_from"] == wanted:
                return opened.get_tensor("latents")
    latents = encode(AutoencoderKL.from_pretrained(vae_folder).float(), split, copies, device, shards)
    write_atomically({"latents": latents}, file, {"made_from": wanted})
    return latents
