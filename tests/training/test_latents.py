"""Cached latents: copy 0 is the picture itself, and a file is made again only when its sources change."""

import torch

from data import Split, to_float
from latents import cached


class Means(torch.nn.Module):
    """Means of 8 x 8 px, times a factor: latents that can be worked out by hand."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * torch.nn.functional.avg_pool2d(x, 8)


def test_cached_latents(tmp_path):
    split = Split(torch.randint(0, 256, (18, 3, 32, 32), dtype=torch.uint8), ["x"] * 18, ["p"] * 18)
    device = torch.device("cpu")
    latents = cached(tmp_path, Means(1), split, 2, device)
    assert [part.shape for part in latents] == [(18, 3, 4, 4)] * 2
    wanted = ((to_float(split.pixels) + 1) / 2).unflatten(-1, (4, 8)).unflatten(-3, (4, 8)).mean((-1, -3))
    assert torch.allclose(latents[0].float(), wanted, atol=2e-3)
    assert not torch.allclose(latents[1], latents[0], atol=1e-2)

    file = tmp_path / "latents-0.safetensors"
    written = file.stat().st_mtime_ns
    assert torch.equal(cached(tmp_path, Means(1), split, 1, device)[0], latents[0])
    assert file.stat().st_mtime_ns == written
    cached(tmp_path, Means(2), split, 1, device)
    assert file.stat().st_mtime_ns != written
