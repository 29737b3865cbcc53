"""Feature networks behind one interface: the embedded one, which ships, CLIP and DINOv2 by transformers, Inception.

Figures from different networks do not compare, so a figure is always reported with its network's name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnable.errors import SetupError, UsageError, shown, suggestion
from unlearnable.metrics.base import check
from unlearnable.models import features as embedded
from unlearnable.models.load import resolve_device
from unlearnable.models.offline import offline
from unlearnable.models.quiet import quiet

BATCH = 32  # pictures that a network sees at once
INSTEAD = "give a folder after the name and a colon, or use embedded-features"
SAFE: dict[str, Any] = {"use_safetensors": True}


class Features(Protocol):
    """A frozen network over pictures ``[n 3 h w]`` in [0, 1] of any size; it sees them at `size` px."""

    name: str
    dim: int
    size: int

    def __call__(self, images: Tensor) -> Tensor:
        """Features ``[n dim]`` on the CPU."""
        ...

    def maps(self, images: Tensor) -> list[Tensor]:
        """Intermediate maps, ``[n c h w]`` each."""
        ...


def features(name: str = embedded.NAME, device: str = "auto") -> Features:
    """A feature network by name: embedded-features, clip, dinov2, inception.

    ``name:source`` takes other weights: a folder or hub id for clip and dinov2, a file for inception. Raises SetupError
    when packages or weights are not here; with ``HF_HUB_OFFLINE=1`` nothing is fetched.
    """
    kind, source = named(name)
    chosen = resolve_device(device)
    return KINDS[kind](source, chosen)


def named(name: str) -> tuple[str, str]:
    """The kind and the source of features by their name; UsageError for a kind that is none."""
    kind, _, source = name.partition(":")
    if kind not in KINDS:
        raise UsageError(f"unknown features {name!r}: {suggestion(kind, list(KINDS))}")
    return kind, source


class Network:
    """A loaded network as `Features`: how it sees pictures, its features, its maps."""

    def __init__(
        self, name: str, size: int, embed: Callable[[Tensor], Tensor], maps: Callable[[Tensor], list[Tensor]],
        device: torch.device,
    ) -> None:  # fmt: skip
        self.name, self.size, self._embed, self._maps, self._device = name, size, embed, maps, device
        self.dim = self(torch.zeros(1, 3, size, size)).shape[1]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        check(images)
        return torch.cat([self._embed(x.to(self._device, torch.float32)).float().cpu() for x in images.split(BATCH)])

    @torch.no_grad()
    def maps(self, images: Tensor) -> list[Tensor]:
        check(images)
        return self._maps(images.to(self._device, torch.float32))


@dataclass(frozen=True)
class View:
    """Preprocessing as in a network's training: shorter side to `resize` px, the middle `size` px, normalised."""

    size: int
    resize: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, images: Tensor) -> Tensor:
        h, w = images.shape[-2:]
        short = min(h, w)
        shape = [self.resize * h // short, self.resize * w // short]
        x = F.interpolate(images, size=shape, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
        top, left = (shape[0] - self.size) // 2, (shape[1] - self.size) // 2
        x = x[..., top : top + self.size, left : left + self.size]
        return (x - x.new_tensor(self.mean).view(3, 1, 1)) / x.new_tensor(self.std).view(3, 1, 1)


CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def embedded_features(source: str, device: torch.device) -> Features:
    """The network that ships with the package; weak beside the others, and there without a network connection."""
    folder = Path(source) if source else embedded.FOLDER
    try:
        network = embedded.FeatureNetwork.from_folder(folder)
    except Exception as error:  # a broken folder can fail in any way
        remedy = "reinstall the package" if not source else "give a folder that FeatureNetwork.save wrote"
        raise SetupError(f"{embedded.NAME} cannot be loaded from {shown(folder)}: {remedy}") from error
    return own_network(network.to(device), device)


def own_network(network: embedded.FeatureNetwork, device: torch.device | None = None) -> Features:
    """A `FeatureNetwork` as `Features`."""
    return Network(embedded.NAME, embedded.SIDE, network.embed, network.maps, device or torch.device("cpu"))


def clip(source: str, device: torch.device) -> Features:
    """CLIP's image embeddings (Radford et al., arXiv 2103.00020); ViT-B/32, which CLIP-I is measured with."""
    source = source or "openai/clip-vit-base-patch32"
    network = frozen(pretrained("clip", "CLIPVisionModelWithProjection", source, **SAFE), device)
    size = network.config.image_size
    return _tower("clip", network, View(size, size, CLIP_MEAN, CLIP_STD), "image_embeds", device)


def dinov2(source: str, device: torch.device) -> Features:
    """DINOv2's class token (Oquab et al., arXiv 2304.07193); ViT-B/14 at 224 px."""
    network = frozen(pretrained("dinov2", "Dinov2Model", source or "facebook/dinov2-base", **SAFE), device)
    return _tower("dinov2", network, View(224, 256, IMAGENET_MEAN, IMAGENET_STD), "pooler_output", device)


def _tower(name: str, network: Any, view: View, output: str, device: torch.device) -> Features:
    def embed(images: Tensor) -> Tensor:
        return network(pixel_values=view(images))[output]

    def maps(images: Tensor) -> list[Tensor]:
        states = network(pixel_values=view(images), output_hidden_states=True).hidden_states
        side = view.size // network.config.patch_size
        return [state[:, -side * side :].transpose(1, 2).unflatten(2, (side, side)) for state in states]

    return Network(name, view.size, embed, maps, device)


def inception(source: str, device: torch.device) -> Features:
    """Inception v3 as FID uses it (Heusel et al. 2017), through torch-fidelity, from a local weights file."""
    if not source or not Path(source).is_file():
        raise SetupError(
            f"features 'inception' need torch-fidelity's weights file, and {source!r} is none: give it as "
            "inception:pt_inception-2015-12-05-6726825d.pth, or use embedded-features"
        )
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except (ImportError, RuntimeError) as error:
        raise SetupError(
            f"features 'inception' need torch-fidelity and a torchvision that fits your torch ({error}): run "
            "`pip install -c constraints.txt torch-fidelity`, or use embedded-features"
        ) from error
    network = FeatureExtractorInceptionV3("inception", ["64", "192", "768", "2048"], source).to(device).eval()

    def levels(images: Tensor) -> Any:
        return network((images * 255).round().to(torch.uint8))

    def maps(images: Tensor) -> list[Tensor]:
        return [level if level.ndim == 4 else level[..., None, None] for level in levels(images)]

    return Network("inception", 299, lambda images: levels(images)[-1].flatten(1), maps, device)


def pretrained(name: str, kind: str, source: str, remedy: str = INSTEAD, **options: Any) -> Any:
    """Something of transformers from the hub's cache, the hub or a folder; one sentence where it cannot be had."""
    import transformers

    try:
        with quiet():
            return getattr(transformers, kind).from_pretrained(source, local_files_only=offline(), **options)
    except Exception as error:  # a broken or hostile folder can make the loader fail in any way
        reason, missing = shown(" ".join(str(error).split()))[:120], shown(source)
        raise SetupError(
            f"{name} needs {missing}, which is not on this machine or not whole: run `hf download {missing}` where "
            f"there is a network, or {remedy} ({reason})"
        ) from error


def frozen(network: Any, device: torch.device) -> Any:
    return network.to(device).float().eval().requires_grad_(False)


KINDS: dict[str, Callable[[str, torch.device], Features]] = {
    embedded.NAME: embedded_features, "clip": clip, "dinov2": dinov2, "inception": inception
}  # fmt: skip
