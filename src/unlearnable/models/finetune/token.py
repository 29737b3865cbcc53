"""A new word: one trainable embedding per text encoder, the only thing that textual inversion learns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unlearnable.errors import UsageError
from unlearnable.models.base import Model, clip_pairs
from unlearnable.storage.atomic import replacing


@dataclass
class NewToken:
    """A word that was added to a model's vocabularies: `rows` are its embeddings, in training until `settle`.

    They are separate parameters that replace the table's row at look-up, so that the optimiser never sees the rest of
    the table: weight decay and momentum cannot move other words.
    """

    name: str
    rows: list[nn.Parameter]
    tables: list[tuple[nn.Embedding, int]]
    hooks: list[Any]

    @torch.no_grad()
    def settle(self) -> None:
        """Write the embeddings into the tables and remove the hooks: the model is then an ordinary one."""
        for row, (table, place) in zip(self.rows, self.tables):
            table.weight[place] = row.to(table.weight.dtype)
        for hook in self.hooks:
            hook.remove()

    def save(self, folder: Path) -> None:
        """Write `learned_embeds.safetensors`: ``{word: row}``, or ``{clip_l, clip_g}`` for SDXL's two encoders.

        Stock diffusers reads the first with ``load_textual_inversion(folder)``; of the second, the field's scripts pass
        each entry with its own encoder and tokenizer.
        """
        from safetensors.torch import save_file

        names = [self.name] if len(self.rows) == 1 else ["clip_l", "clip_g"]
        rows = {name: row.detach()[None].cpu().contiguous() for name, row in zip(names, self.rows)}
        with replacing(folder / "learned_embeds.safetensors") as temporary:
            save_file(rows, temporary)


def add_token(model: Model, name: str, like: str) -> NewToken:
    """Add the word `name` to a model that has its own text encoders (`Model.copy(text=True)`).

    Its embedding starts as the mean over the tokens of the text `like`, or over the whole table where `like` is empty.
    Raises UsageError if a tokenizer has the word already.
    """
    from transformers import AddedToken

    token = NewToken(name, [], [], [])
    for tokenizer, encoder in clip_pairs(model.pipe):
        words, network = getattr(model.pipe, tokenizer), getattr(model.pipe, encoder)
        if name in words.get_vocab():
            raise UsageError(f"the model knows a token {name!r} already: choose another one, such as '<{name}>'")
        words.add_tokens([AddedToken(name, single_word=True)])  # otherwise "sks" would match inside "masks"
        place = words.convert_tokens_to_ids(name)
        if place >= network.get_input_embeddings().num_embeddings:
            network.resize_token_embeddings(place + 1, mean_resizing=False)
        table = network.get_input_embeddings().requires_grad_(False)
        start_ids = words(like, add_special_tokens=False).input_ids or slice(place)
        row = nn.Parameter(table.weight[start_ids].detach().float().mean(0))
        token.rows.append(row)
        token.tables.append((table, place))
        token.hooks.append(table.register_forward_hook(looked_up(row, place)))
    return token


def looked_up(row: Tensor, place: int) -> Any:
    """A hook that returns `row` wherever id `place` is looked up in the table."""

    def hook(table: nn.Module, ids: tuple[Tensor, ...], embedded: Tensor) -> Tensor:
        return torch.where((ids[0] == place)[..., None], row.to(embedded.dtype), embedded)

    return hook
