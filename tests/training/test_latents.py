"""Cached latents: copy 0 is the picture itself, and the file is made again only when its sources change."""

import torch

from autoencoder import build
from data import Split, to_float
from latents import cached


def test_cached_latents(tmp_path):
    torch.manual_seed(0)
    vae = build((8, 8, 8, 8)).eval()
    vae.register_to_config(scaling_factor=0.5)
    vae.save_pretrained(tmp_path / "vae")
    split = Split(torch.randint(0, 256, (18, 3, 32, 32), dtype=torch.uint8), ["x"] * 18, ["p"] * 18)
    file = tmp_path / "latents.safetensors"
    latents = cached(file, tmp_path / "vae", split, 2, torch.device("cpu"), 2)
    assert latents.shape == (2, 18, 4, 4, 4)
    with torch.no_grad():
        wanted = 0.5 * vae.encode(to_float(split.pixels[17:])).latent_dist.mean
    assert torch.allclose(latents[0, 17:].float(), wanted, atol=2e-3)
    assert not torch.allclose(latents[1], latents[0], atol=1e-2)

    written = file.stat().st_mtime_ns
    assert torch.equal(cached(file, tmp_path / "vae", split, 2, torch.device("cpu"), 1), latents)
    assert file.stat().st_mtime_ns == written
    assert len(cached(file, tmp_path / "vae", split, 1, torch.device("cpu"), 1)) == 1
    assert file.stat().st_mtime_ns != written
