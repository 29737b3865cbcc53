"""Shortcut training: the one training loop with the shortcut loss, on latents with captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unlearnable.ldu.config import ShortcutConfig
from unlearnable.ldu.consistency import finest, jumps, sample_jumps, shortcut_loss
from unlearnable.models.base import Condition
from unlearnable.models.finetune.texts import take
from unlearnable.models.finetune.training import FineTune, OwnBatches, Text
from unlearnable.rng import generator


class ShortcutTrainer(OwnBatches):
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

    def _loss(self, name: str, z: Tensor, keys: list[str], c: Text) -> Tensor:
        assert isinstance(c, Condition)
        s, model, rng = self.teaching, self.model, generator(self.seed, name, self.done)
        size = min(s.batch, len(z))
        rows = torch.randint(len(z), (size,), generator=rng)
        noise = torch.randn((size, *z.shape[1:]), generator=rng, dtype=z.dtype).to(z.device)
        t = torch.randint(len(model.schedule), (size,), generator=rng).to(z.device)
        # One row more, now and then, makes the share true on average for any batch size.
        count = int(s.share * size + torch.rand(1, generator=rng).item())
        chosen = sample_jumps(self.table, count, rng).to(z.device)
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
