"""What a denoiser's layers do on the way: outputs of the last up-block, and how much it attends to words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from unlearnable.errors import UsageError
from unlearnable.models.base import Model

JOINT = ("add_k_proj", "add_v_proj")  # keys and values of the text in transformers that attend jointly


@contextmanager
def recorded(modules: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """The outputs of modules, in the order of their calls, as long as the context lasts."""
    seen: list[Tensor] = []
    hooks = [module.register_forward_hook(lambda module, given, out: seen.append(out)) for module in modules]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def last_resnets(model: Model) -> list[nn.Module]:
    """The residual blocks of a U-Net's last up-block; raises UsageError for a transformer."""
    blocks = getattr(model.denoiser, "up_blocks", None)
    if blocks is None:
        raise UsageError(f"a {model.family} model has no up-blocks, whose features are asked for: use a U-Net")
    return list(blocks[-1].resnets)


def text_projections(model: Model) -> list[nn.Module]:
    """The keys' and values' projections of the text; raises UsageError for a model that reads none."""
    found = [projection for layer in second_attentions(model) for projection in (layer.to_k, layer.to_v)]
    found += [module for name, module in model.denoiser.named_modules() if name.endswith(JOINT)]
    if not found:
        raise UsageError(f"a {model.family} model has no cross-attention, which is asked for: use one that reads text")
    return found


def cross_attentions(model: Model) -> list[Any]:
    """The cross-attention layers of a U-Net; raises UsageError for models without."""
    found = second_attentions(model) if hasattr(model.denoiser, "up_blocks") else []
    if not found:
        raise UsageError(
            f"a {model.family} model has no layers of cross-attention alone, whose maps are asked for: "
            "use Stable Diffusion 1, 2 or XL"
        )
    return found


def second_attentions(model: Model) -> list[Any]:
    """The layers of cross-attention alone; SD 3.5 has layers of their name that attend to the picture itself."""
    named = [module for name, module in model.denoiser.named_modules() if name.endswith("attn2")]
    return [layer for layer in named if layer.is_cross_attention]


@contextmanager
def attended(model: Model) -> Iterator[list[Tensor]]:
    """The cross-attention maps of one call, filled in when the context ends: ``[b heads places words]`` each.

    Each is ``softmax(q k^T / sqrt(d))``, made again from the queries and keys, whatever computes the attention.
    """
    layers, maps = cross_attentions(model), list[Tensor]()
    with recorded([layer.to_q for layer in layers]) as queries, recorded([layer.to_k for layer in layers]) as keys:
        yield maps
    for layer, q, k in zip(layers, queries, keys):
        one, other = (a.float().unflatten(-1, (layer.heads, -1)).transpose(1, 2) for a in (q, k))
        maps.append((one @ other.transpose(-1, -2) * layer.scale).softmax(-1))


def token_positions(model: Model, prompt: str, word: str) -> list[int]:
    """Where the tokens of a word are in a prompt's text; all words' where it is not in it."""
    tokenizer = model.pipe.tokenizer
    ids = tokenizer(prompt, max_length=tokenizer.model_max_length, truncation=True).input_ids
    own = tokenizer(word, add_special_tokens=False).input_ids
    for start in range(len(ids) - len(own) + 1):
        if own and ids[start : start + len(own)] == own:
            return list(range(start, start + len(own)))
    return list(range(1, max(2, len(ids) - 1)))


def squared_difference(ours: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """Sum over layers of the mean squared difference, ``[b]``."""
    rows = [(a.float() - b.float()).square().flatten(1).mean(1) for a, b in zip(ours, others)]
    return torch.stack(rows).sum(0)
