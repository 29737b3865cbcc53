"""Encode every training picture once, so that the U-Net trains on cached latents.

Copy 0 of a picture is the picture; the others are cropped a little and their colours shifted a little, and copies of
odd numbers are mirrored.
"""

import hashlib
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import nn

from common import autocast, step_rng, write_atomically
from data import Split, jitter, to_float


def augmented(pictures: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Randomly cropped to 104..128 px and back to full size, colours shifted; [b, 3, h, w] in [-1, 1]."""
    size = pictures.shape[-1]
    side = int(torch.randint(size * 13 // 16, size + 1, (), generator=rng))
    top, left = torch.randint(0, size - side + 1, (2,), generator=rng).tolist()
    crops = pictures[..., top : top + side, left : left + side]
    return jitter(F.interpolate(crops, size=(size, size), mode="bicubic", align_corners=False).clamp(-1, 1), rng)


def encode(encoder: nn.Module, split: Split, copy: int, device: torch.device, seed: int = 0) -> torch.Tensor:
    """Latents of one copy of all pictures, as fp16 [n, c, h / 8, w / 8]; `encoder` takes pictures in [0, 1]."""
    encoder = encoder.to(device).eval()
    began, parts, count = time.monotonic(), [], 16 if device.type == "cpu" else 128
    for number, pixels in enumerate(split.pixels.split(count)):
        x = to_float(pixels.to(device))
        if copy:
            x = augmented(x.flip(-1) if copy % 2 else x, step_rng(seed + copy, number))
        with torch.no_grad(), autocast(device):
            parts.append(encoder(((x + 1) / 2).contiguous(memory_format=torch.channels_last)).half())
        if number % 100 == 99:
            done, seconds = count * (number + 1), time.monotonic() - began
            left = seconds / done * (len(split) - done) / 60
            print(f"encoding copy {copy}: {done}/{len(split)}, {left:.0f} min left", flush=True)
    return torch.cat(parts).contiguous().cpu()


def cached(folder: Path, encoder: nn.Module, split: Split, copies: int, device: torch.device) -> list[torch.Tensor]:
    """`encode` for each copy, each kept in a file that is made again when the encoder or the pictures change."""
    probe = encoder.to(device)(torch.linspace(0, 1, 3 * 64 * 64).view(1, 3, 64, 64).to(device))
    digest = hashlib.sha256((probe.detach().cpu() * 100).round().to(torch.int32).numpy().tobytes()).hexdigest()[:16]
    latents = []
    for copy in range(copies):
        file = folder / f"latents-{copy}.safetensors"
        wanted = json.dumps({"encoder": digest, "pictures": len(split), "shape": list(split.pixels.shape[1:])})
        if file.is_file():
            with safe_open(file, "pt") as opened:
                if opened.metadata()["made_from"] == wanted:
                    latents.append(opened.get_tensor("latents"))
                    continue
        latents.append(encode(encoder, split, copy, device))
        write_atomically({"latents": latents[-1]}, file, {"made_from": wanted})
    return latents
