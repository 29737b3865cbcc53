"""Shortcut training: the one training loop with the shortcut loss, on latents with captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unlearnable.errors import UsageError
from unlearnable.ldu.consistency import drawn, finest, jumps, shortcut_loss
from unlearnable.models.base import Condition
from unlearnable.models.finetune.training import FineTune, Text, Trainer
from unlearnable.rng import generator


@dataclass(frozen=True)
class ShortcutConfig:
    """How a shortcut is trained: `steps` of AdamW at `lr` on `batch` pictures, of which `share` learn self-consistency.

    The paper's `share` is 1/8, for a network that starts from nothing and learns the pictures' own noise with the rest
    of its batch; its running average's decay `ema` is 0.999 (section 4.1, table 4). At a `share` of 1 the frozen base
    itself answers for d -> 0, so that all of a batch teaches jumps and many steps stay the base's. `empty` is the share
    of pictures shown without their caption. `rank` is that of the LoRA.
    """

    steps: int = 4000
    lr: float = 1e-3
    batch: int = 16
    share: float = 1.0
    ema: float = 0.999
    empty: float = 0.1
    rank: int = 32
    clip: float = 1.0

    def __post_init__(self) -> None:
        for name in ("steps", "lr", "batch", "rank"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} {getattr(self, name):g} is too small: give more than 0")
        for name in ("share", "empty", "ema"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} {getattr(self, name):g} is out of range: give a share from 0 to 1")


class ShortcutTrainer(Trainer):
    """Trains a `Shortcut`, or anything with its `model`, `parameters` and `predict`.

    `run(latents, texts)` takes latents ``[n, ...]`` in place of pictures, and a condition whose row ``captions[i]`` is
    latent i's text and whose last row is the empty text (a condition without tensors for a model without text).
    """

    def __init__(self, shortcut: Any, settings: ShortcutConfig, captions: Sequence[int] = (), seed: int = 0) -> None:
        s = settings
        fine = FineTune(s.steps, s.lr, s.batch, weight_decay=0.0, clip=s.clip, ema=s.ema)
        super().__init__(shortcut.model, fine, seed, [{"params": shortcut.parameters}])
        self.shortcut, self.teaching, self.captions = shortcut, s, torch.tensor(captions, dtype=torch.int64)
        self.table = jumps(shortcut.model.schedule)

    def _data(self, images: Tensor, c: Text) -> tuple[Tensor, list[str], Text]:
        return images, [], c

    def _loss(self, name: str, z: Tensor, keys: list[str], c: Text) -> Tensor:
        assert isinstance(c, Condition)
        s, model, rng = self.teaching, self.model, generator(self.seed, name, self.done)
        size = min(s.batch, len(z))
        rows = torch.randint(len(z), (size,), generator=rng)
        noise = torch.randn((size, *z.shape[1:]), generator=rng, dtype=z.dtype).to(z.device)
        t = torch.randint(len(model.schedule), (size,), generator=rng).to(z.device)
        # One row more, now and then, makes the share true on average for any batch size.
        count = int(s.share * size + torch.rand(1, generator=rng).item())
        chosen = drawn(self.table, count, rng).to(z.device)
        if c.tensors:
            texts = self.captions[rows]
            texts[torch.rand(size, generator=rng) < s.empty] = -1
            c = take(c, texts.to(z.device))
        own = [p.detach().clone() for p in self.parameters]

        def student(z_t: Tensor, t: Tensor, h: Tensor) -> Tensor:
            return self.shortcut.predict(z_t, t, h, c)

        def teacher(z_t: Tensor, t: Tensor, h: Tensor) -> Tensor:
            if self.average:
                self.average.copy_to(self.parameters)
            try:
                out: Tensor = self.shortcut.predict(z_t, t, h, take(c, slice(len(z_t))))
            finally:
                for p, value in zip(self.parameters, own):
                    p.data.copy_(value)
            fine = h > finest(model.schedule)
            if s.share == 1 and fine.any():
                out[fine] = self.shortcut.base.predict(z_t[fine], t[fine], take(c, slice(int(fine.sum()))))
            return out

        return shortcut_loss(model.schedule, student, teacher, z[rows.to(z.device)], noise, t, chosen).mean()


def take(c: Condition, rows: Tensor | slice) -> Condition:
    return Condition({name: value[rows] for name, value in c.tensors.items()})
