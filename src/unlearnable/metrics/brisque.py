"""BRISQUE: statistics of natural pictures, and a regression that its authors fitted to what people said of pictures.

The regression's two files are theirs, and do not ship.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnable.errors import SetupError, shown
from unlearnable.metrics.base import PICTURES, check, metric
from unlearnable.metrics.quality import NEIGHBOURS, _asymmetric, _symmetric, normalised

FOLDER, MODEL, RANGES = "UNLEARNABLE_BRISQUE", "allmodel", "allrange"


@metric(PICTURES, higher_is_better=False)
def brisque(images: Tensor) -> Tensor:
    """How unnatural a picture's local statistics are, on the scale of people's scores.

    Unit: difference mean opinion score, about 0 to 100. Better: lower. Needs: `allmodel` and `allrange` of the authors'
    release, in a folder named by UNLEARNABLE_BRISQUE. Source: Mittal, Moorthy and Bovik 2012, IEEE TIP 21(12).
    Deviation: edges are continued by their last pixel, and neighbours wrap around.
    """
    check(images)
    score = regression(os.environ.get(FOLDER, ""))
    return torch.stack([score(statistics(image[None])) for image in images])


def statistics(image: Tensor) -> Tensor:
    """The 36 statistics of a picture ``[1 3 h w]``, 18 at full and at half size."""
    grey = (image.double() * image.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, True) * 255
    half = F.interpolate(grey, scale_factor=0.5, mode="bicubic", antialias=True, align_corners=False)
    found: list[Tensor] = []
    for x in (grey, half):
        normal = normalised(x)[0][0]
        found += _symmetric(normal.flatten(1))
        for down, right in NEIGHBOURS:
            found += _asymmetric((normal * normal.roll((-down, -right), (1, 2))).flatten(1))
    return torch.cat(found)


@dataclass(frozen=True)
class Regression:
    """A libsvm regression with a radial kernel on features that `low` and `high` scale to -1 and 1."""

    gamma: float
    rho: float
    weights: Tensor
    vectors: Tensor
    low: Tensor
    high: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        x = 2 * (features.cpu() - self.low) / (self.high - self.low) - 1
        kernel = (-self.gamma * (self.vectors - x).square().sum(1)).exp()
        return self.weights @ kernel - self.rho


@cache
def regression(folder: str) -> Regression:
    """The authors' regression, from libsvm's text files; SetupError where they are not there or not whole."""
    place = Path(folder)
    if not folder or not all((place / name).is_file() for name in (MODEL, RANGES)):
        where = shown(place) if folder else f"a folder named by {FOLDER}"
        raise SetupError(f"brisque needs its authors' files {MODEL} and {RANGES} in {where}: put them there")
    try:
        head, _, rows = (place / MODEL).read_text().partition("SV\n")
        facts = dict(line.split(maxsplit=1) for line in head.splitlines())
        parts = [line.split() for line in rows.splitlines()]
        vectors = torch.zeros(len(parts), 36, dtype=torch.float64)
        for row, (_, *pairs) in zip(vectors, parts):
            for number, value in (pair.split(":") for pair in pairs):  # what is 0 is left out
                row[int(number) - 1] = float(value)
        lines = (place / RANGES).read_text().splitlines()[2:]
        ranges = torch.tensor([[float(v) for v in line.split()[1:]] for line in lines], dtype=torch.float64)
        low, high = ranges.reshape(36, 2).T
        weights = torch.tensor([float(part[0]) for part in parts], dtype=torch.float64)
        return Regression(float(facts["gamma"]), float(facts["rho"]), weights, vectors, low, high)
    except (ValueError, KeyError, IndexError, RuntimeError, OSError) as error:
        raise SetupError(f"the files of brisque in {shown(place)} are not whole ({error}): get them again") from error
