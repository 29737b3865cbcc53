"""A shortcut model: a frozen base with a LoRA, told how far it jumps, so that few steps do for many.

Frans et al., arXiv 2410.12557; kept as a LoRA and a projection of d over the base, as LCM-LoRA is kept.
`consistency` has the loss, `teach` the training.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unlearnable.errors import UsageError, shown
from unlearnable.ldu.consistency import finest, halvings
from unlearnable.ldu.stepsize import StepSize
from unlearnable.models.base import Condition, Model
from unlearnable.models.finetune import checkpoint
from unlearnable.models.finetune.lora import inject
from unlearnable.models.invert import at

KIND, COMMAND = "shortcut", "unlearnable train-shortcut"
# All of LCM-LoRA's layers (arXiv 2311.05556), and their counterparts in transformers.
LAYERS = [
    "to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "conv2",
    "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj", "add_q_proj", "add_k_proj",
    "add_v_proj", "to_add_out", "ff_context.net.0.proj", "ff_context.net.2", "proj_mlp", "norm1.linear",
    "norm1_context.linear", "norm.linear", "to_qkv_mlp_proj", "linear_in", "linear_out", "img_mlp.net.0.proj",
    "img_mlp.net.2", "txt_mlp.net.0.proj", "txt_mlp.net.2", "img_mod.1", "txt_mod.1", "w1", "w2", "w3",
    "feed_forward.linear_1", "feed_forward.linear_2", "feed_forward.linear_3",
]  # fmt: skip
SAMPLED = 256  # values of each weight that name a base


class Shortcut:
    """`base` (which stays as it is) with a trainable LoRA of `rank`; `parameters` are all that is trained.

    Rank 0 trains a whole copy: for a base that has not learnt anything yet.
    """

    def __init__(self, base: Model, rank: int = 32, seed: int = 0) -> None:
        self.base, self.rank = base, rank
        self.model = base.copy(share=rank > 0)
        self.size = StepSize(self.model.denoiser, finest(base.schedule) + 1)
        if rank:
            lora = inject(self.model.denoiser, rank, LAYERS, seed, "shortcut")
            self.parameters: list[nn.Parameter] = [*lora, *self.size.projection.parameters()]
        else:
            self.parameters = list(self.model.denoiser.parameters())

    def predict(self, z_t: Tensor, t: Tensor, h: Tensor, c: Condition) -> Tensor:
        """The answer at ``z_t`` for jumps of ``T / 2^h``; `t` and `h` are ``[b]``."""
        with self.size.told(h):
            return self.model.predict(z_t, t, c)

    def step(self, model: Model, z: Tensor, t: int, s: int, c: Condition) -> Tensor:
        """One jump, as `invert.denoise` takes them."""
        start, h = at(z, t), at(z, round(halvings(model.schedule, t, s)))
        return model.jump(z, start, at(z, s), self.predict(z, start, h, c))

    def save(self, path: Path, **facts: Any) -> None:
        """Write one safetensors file that names its base, in half precision."""
        facts |= {"kind": KIND, "base": fingerprint(self.base), "model": self.base.name, "rank": self.rank}
        checkpoint.write(path, {name: p.detach().half() for name, p in self._named().items()}, facts)

    @classmethod
    def load(cls, path: Path, base: Model) -> Shortcut:
        """A saved shortcut, frozen; raises UsageError for a file that is none, or one of another base."""
        kept, facts = read(path, KIND, base, COMMAND)
        shortcut = cls(base, facts["rank"])
        for name, p in shortcut._named().items():
            p.data.copy_(kept[name])
            p.requires_grad_(False)
        return shortcut

    def _named(self) -> dict[str, nn.Parameter]:
        chosen = set(map(id, self.parameters))
        return {name: p for name, p in self.model.denoiser.named_parameters() if id(p) in chosen}


def read(path: Path, kind: str, base: Model, command: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts of a file of one `kind` that was made for `base` by `command`."""
    if not path.is_file():
        raise UsageError(f"there is no file {shown(path)}: make a {kind} with `{command}`")
    try:
        kept, facts = checkpoint.read(path)
    except UsageError as error:
        raise UsageError(f"{shown(path)} is no whole safetensors file: make a {kind} with `{command}`") from error
    if facts.get("kind") != kind:
        raise UsageError(f"{shown(path)} holds no {kind}: make one with `{command}`")
    if facts["base"] != fingerprint(base):
        other = f"another model ({facts['model']!r}) than {base.name!r}, or for other weights of it"
        raise UsageError(f"the {kind} in {shown(path)} was made for {other}: make one with `{command}`")
    return kept, facts


def fingerprint(model: Model) -> str:
    """Hex digest of the denoiser's weights: some of each, in bf16, whatever type they were loaded in."""
    digest = hashlib.sha256(model.family.encode())
    for _, p in sorted(model.denoiser.named_parameters()):
        sample = p.detach().flatten()[:: max(1, p.numel() // SAMPLED)]
        digest.update(repr(tuple(p.shape)).encode())
        digest.update(sample.bfloat16().cpu().view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:32]
