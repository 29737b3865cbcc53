"""How far pictures are from their originals: one row for each pair, ``[n 3 h w]`` in [0, 1] twice to ``[n]``.

Everything here but LPIPS works in the base installation. Sizes are checked, samples outside [0, 1] and NaN refused.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnable.errors import SetupError, UsageError
from unlearnable.metrics.base import MAPS, PAIRS, check, metric
from unlearnable.metrics.colour import delta_e_2000
from unlearnable.metrics.features import Features
from unlearnable.metrics.structure import WINDOW, similarity
from unlearnable.models.features import distance

SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, section 3.2
STRIP = 2**20  # pixels whose colours are compared at once, to bound the memory
ALEXNET = "alexnet-owt-7be5be79.pth"


@metric(PAIRS, higher_is_better=True, unit="dB")
def psnr(images: Tensor, references: Tensor) -> Tensor:
    """Peak signal-to-noise ratio.

    Unit: dB; infinite for equal pictures. Better: higher. Needs: nothing.
    Source: -10 log10 of the mean squared error of all samples, the peak being 1.
    """
    check(images, references)
    return -10 * (images.float() - references.float()).square().flatten(1).mean(1, dtype=torch.float64).log10()


@metric(PAIRS, higher_is_better=False, unit="1/255")
def linf(images: Tensor, references: Tensor) -> Tensor:
    """L-infinity distance: the largest change of any sample.

    Unit: levels of 8 bits (1/255), to a thousandth. Better: lower. Needs: nothing.
    """
    check(images, references)
    return (images.double() - references).abs().flatten(1).amax(1).mul(255).round(decimals=3)


@metric(PAIRS, higher_is_better=False, unit="share")
def changed(images: Tensor, references: Tensor) -> Tensor:
    """Share of changed pixels: those of which any sample differs on the 8-bit grid.

    Unit: share from 0 to 1. Better: lower. Needs: nothing.
    """
    check(images, references)
    differs = (images * 255).round() != (references * 255).round()
    return differs.any(1).flatten(1).double().mean(1)


@metric(PAIRS, higher_is_better=True)
def ssim(images: Tensor, references: Tensor) -> Tensor:
    """Structural similarity.

    Unit: none, at most 1 (equal). Better: higher. Needs: pictures of 11 px or more a side.
    Source: Wang et al. 2004, IEEE TIP 13(4): Gaussian window of 11 px and sigma 1.5, population variances, K = 0.01 and
    0.03; the mean over red, green and blue and over the windows inside the picture.
    """
    check(images, references)
    _room(images, "ssim", WINDOW)
    return similarity(images.float(), references.float())[0].double()


@metric(PAIRS, higher_is_better=True)
def ms_ssim(images: Tensor, references: Tensor) -> Tensor:
    """Multi-scale structural similarity.

    Unit: none, at most 1 (equal). Better: higher. Needs: pictures of 11 px or more a side.
    Source: Wang, Simoncelli and Bovik 2003 (Asilomar), its five scales and weights, each scale half the last one by
    2 x 2 means. Below 176 px a side fewer scales fit; their weights are rescaled to the same sum, and the figures
    compare with those of pictures of like size only.
    """
    check(images, references)
    _room(images, "ms-ssim", WINDOW)
    x, y = images.float(), references.float()
    factors: list[Tensor] = []
    while True:
        full, structure = similarity(x, y)
        if len(factors) + 1 == len(SCALES) or min(x.shape[-2:]) // 2 < WINDOW:
            break
        factors.append(structure)
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    factors.append(full)
    weights = torch.tensor(SCALES[: len(factors)], dtype=torch.float64, device=x.device)
    return torch.stack(factors, 1).double().clamp(min=0).pow(weights * (sum(SCALES) / weights.sum())).prod(1)


@metric(PAIRS, higher_is_better=False, unit="Delta E")
def ciede2000(images: Tensor, references: Tensor) -> Tensor:
    """Mean colour difference CIEDE2000 over the pixels.

    Unit: Delta E 2000; about 1 is just noticeable. Better: lower. Needs: nothing.
    Source: Sharma, Wu and Dalal 2005; samples are read as sRGB, white point D65.
    """
    from kornia.color import rgb_to_lab

    check(images, references)
    rows = max(1, STRIP // (len(images) * images.shape[-1]))
    total = torch.zeros(len(images), dtype=torch.float64, device=images.device)
    for x, y in zip(images.split(rows, 2), references.split(rows, 2)):
        difference = delta_e_2000(rgb_to_lab(x.double().clamp(0, 1)), rgb_to_lab(y.double().clamp(0, 1)))
        total += difference.flatten(1).sum(1)
    return total / images[0, 0].numel()


@metric(MAPS, higher_is_better=False)
def features_distance(images: Tensor, references: Tensor, network: Features) -> Tensor:
    """Perceptual distance in a feature network, reported as `embedded-features-distance` where that is the network.

    Unit: none, 0 (equal) or more. Better: lower. Needs: a feature network; the embedded one ships.
    Source: Zhang et al. 2018, arXiv 1801.03924, equation 1 with unit weights: squared distance of the maps, their
    channels normalised to length 1, averaged over positions and summed over layers. Not LPIPS: neither its network nor
    its learned weights. Pictures above one megapixel are scaled down to it first.
    """
    check(images, references)
    return distance(images.float(), references.float(), network).double().cpu()


@metric(PAIRS, higher_is_better=False)
def lpips(images: Tensor, references: Tensor) -> Tensor:
    """Learned perceptual image patch similarity (LPIPS), AlexNet version.

    Unit: none, 0 (equal) or more. Better: lower. Needs: torchmetrics, torchvision and AlexNet's weights on this
    machine; none of them is in the base installation. Source: Zhang et al. 2018, arXiv 1801.03924.
    """
    check(images, references)
    network = lpips_network()
    with torch.no_grad():
        rows = [network(x[None].clamp(0, 1), y[None].clamp(0, 1)) for x, y in zip(images.float(), references.float())]
    return torch.stack(rows).flatten().double()


@cache
def lpips_network() -> Any:
    """torchmetrics' LPIPS; SetupError where it, torchvision or AlexNet's weights are not here (nothing is fetched)."""
    from pathlib import Path

    weights = Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET
    try:
        import torchvision  # noqa: F401
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
    except (ImportError, RuntimeError) as error:  # a torchvision for another torch fails with a RuntimeError
        raise SetupError(f"{LPIPS_NEEDS} ({error})") from error
    if not weights.is_file():
        raise SetupError(f"{LPIPS_NEEDS} ({weights.name} is not in {weights.parent})")
    return LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)


LPIPS_NEEDS = (
    "lpips needs torchmetrics (pip install 'unlearnable[metrics]'), a torchvision that fits your torch and "
    f"{ALEXNET} in torch.hub's folder; without them use features-distance"
)


def perceptual() -> str:
    """The name of the best perceptual distance this machine has: lpips, else features-distance."""
    try:
        lpips_network()
    except SetupError:
        return "features-distance"
    return "lpips"


def _room(images: Tensor, name: str, side: int) -> None:
    if min(images.shape[-2:]) < side:
        h, w = images.shape[-2:]
        raise UsageError(f"{name} needs {side} px a side, but a picture has {w} x {h} px: leave {name} out for it")
