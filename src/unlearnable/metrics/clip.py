"""Pictures beside sentences, as CLIP sees both: whether a photo is a good one, whether it shows what a text says."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnable.metrics.base import PICTURES, check, metric
from unlearnable.metrics.features import CLIP_MEAN, CLIP_STD, SAFE, View, frozen, pretrained

CLIP = "openai/clip-vit-base-patch32"
GOOD_AND_BAD = ("Good photo.", "Bad photo.")


@metric(PICTURES, higher_is_better=True)
def clip_iqa(images: Tensor, source: str = CLIP) -> Tensor:
    """How much sooner CLIP calls a picture a good photo than a bad one.

    Unit: probability from 0 to 1. Better: higher. Needs: CLIP's weights from the hub or a folder.
    Source: Wang, Chan and Loy 2023 (CLIP-IQA), arXiv 2207.12396, equation 3, with ViT-B/32 at 224 px in place of
    the paper's ResNet-50 without positional embedding, as torchmetrics offers it.
    """
    return (100 * cosines("clip-iqa", images, GOOD_AND_BAD, source)).softmax(1)[:, 0].double()


@metric(PICTURES, higher_is_better=True)
def clip_t(images: Tensor, prompt: str, source: str = CLIP) -> Tensor:
    """CLIP-T: how much of a text CLIP sees in a picture, the cosine of their embeddings.

    Unit: cosine from -1 to 1; about 0.3 where a picture shows its text. Better: higher. Needs: CLIP's weights from the
    hub or a folder, and the text (`--prompt`). Source: Ruiz et al. 2023 (DreamBooth), arXiv 2208.12242, section 4.
    """
    return cosines("clip-t", images, (prompt,), source)[:, 0].double()


@torch.no_grad()
def cosines(name: str, images: Tensor, texts: tuple[str, ...], source: str) -> Tensor:
    """Of the embeddings of pictures ``[n 3 h w]`` in [0, 1] and of texts, ``[n texts]``; `name` asks for them."""
    check(images)
    network, embedded = _clip(name, source, texts)
    size = network.config.vision_config.image_size
    view = View(size, size, CLIP_MEAN, CLIP_STD)
    pictures = F.normalize(network.get_image_features(pixel_values=view(images.float())).pooler_output, dim=1)
    return pictures @ embedded.T


@cache
def _clip(name: str, source: str, texts: tuple[str, ...]) -> tuple[Any, Tensor]:
    """CLIP, and its embeddings of some sentences."""
    remedy = f"leave {name} out"
    network = frozen(pretrained(name, "CLIPModel", source, remedy, **SAFE), torch.device("cpu"))
    tokenizer = pretrained(name, "CLIPTokenizer", source, remedy)
    tokens = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        return network, F.normalize(network.get_text_features(**tokens).pooler_output, dim=1)
