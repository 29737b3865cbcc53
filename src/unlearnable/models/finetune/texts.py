"""Texts of pictures in training: one for all of them, or a caption for each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unlearnable.models.base import Condition, Model


@torch.no_grad()
def texts(model: Model, captions: Sequence[str], batch: int = 16) -> tuple[Condition, list[int]]:
    """Each different caption's condition and, last, the empty text's; and which of them every caption is."""
    unique = sorted(set(captions))
    wanted = [*unique, ""]
    parts = [model.condition(wanted[i : i + batch]).tensors for i in range(0, len(wanted), batch)]
    joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    place = {text: i for i, text in enumerate(unique)}
    return Condition(joined), [place[text] for text in captions]


def take(c: Condition, rows: Tensor | slice) -> Condition:
    return Condition({name: value[rows] for name, value in c.tensors.items()})


class Captions:
    """A caption for each picture, encoded once, or at every step where the text encoder is in training (`reading`)."""

    def __init__(self, model: Model, captions: Sequence[str], reading: bool) -> None:
        self.model, self.captions = model, list(captions)
        self.table = None if reading else texts(model, captions)

    def __call__(self, rows: Tensor) -> Condition:
        """The condition of the pictures ``rows`` ``[b]``."""
        if self.table is None:
            return self.model.condition([self.captions[i] for i in rows])
        condition, which = self.table
        return take(condition, torch.tensor(which)[rows].to(self.model.device))
