"""A perceptual distance for training: SqueezeNet v1.0's early features, written out in plain torch.

Architecture: Iandola et al. 2016, arXiv 1602.07360. Used while training only; nothing of it is shipped.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

MEANS_BGR = (104.0, 117.0, 123.0)
TAPS = ("conv1", "fire3", "fire4", "fire6")


class SqueezeFeatures(torch.nn.Module):
    """Frozen features of pictures in [-1, 1]: a list with one tensor per name in TAPS."""

    def __init__(self, weights: Path):
        super().__init__()
        tensors = load_file(weights)
        for name, value in tensors.items():
            if name.startswith("conv") and not name.startswith("conv10") and name[4] <= "6":
                self.register_buffer(name.replace(".", "_"), value.float())
        self.register_buffer("means", torch.tensor(MEANS_BGR).view(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        x = images.flip(1) * 127.5 + 127.5 - self.means
        x = F.relu(F.conv2d(x, self.conv1_weight, self.conv1_bias, stride=2))
        taps = [x]
        x = _pool(x)
        for number in (2, 3, 4, 5, 6):
            if number == 5:
                x = _pool(x)
            x = self._fire(x, number)
            if f"fire{number}" in TAPS:
                taps.append(x)
        return taps

    def _fire(self, x: torch.Tensor, number: int) -> torch.Tensor:
        def conv(value: torch.Tensor, part: str, padding: int = 0) -> torch.Tensor:
            name = f"conv{number}{part}"
            weight, bias = getattr(self, f"{name}_weight"), getattr(self, f"{name}_bias")
            return F.relu(F.conv2d(value, weight, bias, padding=padding))

        squeezed = conv(x, "s")
        return torch.cat([conv(squeezed, "e1"), conv(squeezed, "e3", padding=1)], dim=1)


def _pool(x: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(x, 3, 2, ceil_mode=True)


def perceptual_distance(features: SqueezeFeatures, images: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of channel-normalised features, averaged over layers; `others` gets no gradient."""
    with torch.no_grad():
        targets = features(others)
    total = images.new_zeros(())
    for found, wanted in zip(features(images), targets):
        total = total + (F.normalize(found, dim=1) - F.normalize(wanted, dim=1)).square().sum(1).mean()
    return total / len(targets)
