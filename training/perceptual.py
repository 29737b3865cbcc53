"""SqueezeNet v1.0's features for training, in plain torch: the early ones a perceptual distance, the last a teacher.

Architecture: Iandola et al. 2016, arXiv 1602.07360. Used while training only; nothing of it is shipped.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

MEANS_BGR = (104.0, 117.0, 123.0)
TAPS = ("conv1", "fire3", "fire4", "fire6")


def weights_file(argument: Path | None, data: Path) -> Path:
    """Where SqueezeNet's weights lie: the argument, else `weights/` two folders above the tables."""
    return argument or data.parent.parent / "weights" / "squeezenet1_0_fp16.safetensors"


class SqueezeFeatures(torch.nn.Module):
    """Frozen features of pictures in [-1, 1]: a list with one tensor per name in TAPS."""

    def __init__(self, weights: Path):
        super().__init__()
        tensors = load_file(weights)
        for name, value in tensors.items():
            if not name.startswith("conv10"):
                self.register_buffer(name.replace(".", "_"), value.float())
        self.register_buffer("means", torch.tensor(MEANS_BGR).view(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [x for name, x in self._layers(images, 6) if name in TAPS]

    def embed(self, images: torch.Tensor) -> torch.Tensor:
        """The last layer's features averaged over the picture, [n, 512]."""
        *_, (_, last) = self._layers(images, 9)
        return last.mean((2, 3))

    def _layers(self, images: torch.Tensor, end: int) -> Iterator[tuple[str, torch.Tensor]]:
        x = images.flip(1) * 127.5 + 127.5 - self.means
        x = F.relu(F.conv2d(x, self.conv1_weight, self.conv1_bias, stride=2))
        yield "conv1", x
        x = _pool(x)
        for number in range(2, end + 1):
            if number in (5, 9):
                x = _pool(x)
            x = self._fire(x, number)
            yield f"fire{number}", x

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
