"""Randomness as an argument: every draw is named, so that no draw depends on what was drawn before.

A draw is named by (seed, content key of the picture, step, purpose). Batch size, order, resuming and the number of
devices therefore cannot change it. Numbers are made on the CPU, so a GPU sees the same ones.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


def name_seed(*name: object) -> int:
    """A 63-bit seed from any words and numbers."""
    text = "\x1f".join(str(part) for part in name)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(*name: object) -> torch.Generator:
    return torch.Generator().manual_seed(name_seed(*name))


@contextmanager
def seeded(*name: object) -> Iterator[None]:
    """For libraries that draw from torch's global CPU generator: seeded inside, as it was before outside."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(name_seed(*name))  # torch.manual_seed would reseed the GPUs for good
        yield


def plain(*name: object) -> random.Random:
    """A `random.Random` for draws that all pictures of a step share (which transform, which size)."""
    return random.Random(name_seed(*name))


def normal(keys: Sequence[str], shape: Sequence[int], *name: object, device: torch.device | None = None) -> Tensor:
    """Standard normal noise ``[len(keys), *shape]``, each row named by its key."""
    rows = [torch.randn(tuple(shape), generator=generator(key, *name)) for key in keys]
    return torch.stack(rows).to(device)


def uniform(keys: Sequence[str], shape: Sequence[int], *name: object, device: torch.device | None = None) -> Tensor:
    """Uniform numbers in [0, 1), ``[len(keys), *shape]``, each row named by its key."""
    rows = [torch.rand(tuple(shape), generator=generator(key, *name)) for key in keys]
    return torch.stack(rows).to(device)


def image_keys(images: Tensor) -> list[str]:
    """Content keys of pictures ``[b 3 h w]`` in [0, 1]: equal on the 8-bit grid, equal key."""
    levels = (images.detach().float() * 255).round().to(torch.uint8).cpu().numpy()
    return [hashlib.sha256(repr(level.shape).encode() + level.tobytes()).hexdigest() for level in levels]
