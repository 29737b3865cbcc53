"""A shortcut model: a frozen base with a LoRA that is conditioned on the jump size, so that few steps suffice.

Frans et al., arXiv 2410.12557; kept as a LoRA and a projection of d over the base, as LCM-LoRA is kept.
`consistency` has the loss, `teach` the training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unlearnable.errors import UsageError, shown
from unlearnable.ldu.consistency import finest, halvings
from unlearnable.models.base import Condition, Model
from unlearnable.models.finetune import checkpoint
from unlearnable.models.finetune.lora import inject
from unlearnable.models.invert import at

WIDTH = 64  # of the features of d
PERIOD = 64  # halvings, of their slowest wave


class StepSize:
    """The jump size d of a `network`, given through `projection`; `ordinary` halvings mean d = 0.

    diffusers' timestep embeddings take a second input, `timestep_cond`, through a projection: that of U-Nets built with
    ``time_cond_proj_dim``. All our families embed the time by a linear layer, so each gets such a projection of d added
    to that layer's input, zero at first: the network then answers as before. `conditioned` sets d around a call, as
    transformers and pixel U-Nets take no second input.
    """

    def __init__(self, network: nn.Module, ordinary: int) -> None:
        embedding, first = time_embedding(network)
        self.projection = nn.Linear(WIDTH, first.in_features, bias=False, device=first.weight.device)
        nn.init.zeros_(self.projection.weight)
        embedding.cond_proj = self.projection
        first.register_forward_pre_hook(self._hook)
        self.ordinary = ordinary
        self.condition: Tensor | None = None

    @contextmanager
    def conditioned(self, halvings: Tensor) -> Iterator[None]:
        """Inside, the network works for jumps of ``T / 2^halvings``, ``[b]``; outside for d = 0."""
        self.condition = features(halvings) - features(torch.full_like(halvings, self.ordinary))
        try:
            yield
        finally:
            self.condition = None

    def _hook(self, first: nn.Module, args: tuple[Any, ...]) -> Any:
        if self.condition is None:
            return None
        projected = self.projection(self.condition)
        return args[0] + projected.view(len(projected), *[1] * (args[0].ndim - 2), -1)


def features(halvings: Tensor) -> Tensor:
    """Sines and cosines of the number of halvings, ``[b WIDTH]``."""
    from diffusers.models.embeddings import get_timestep_embedding

    return get_timestep_embedding(halvings, WIDTH, downscale_freq_shift=0, max_period=PERIOD)


# Where diffusers' networks embed the time, and the first layer there.
EMBEDDINGS = {
    "time_embedding": "linear_1", "time_text_embed.timestep_embedder": "linear_1",
    "time_guidance_embed.timestep_embedder": "linear_1", "time_caption_embed.timestep_embedder": "linear_1",
    "time_embed.emb.timestep_embedder": "linear_1", "adaln_single.emb.timestep_embedder": "linear_1",
    "t_embedder": "mlp.0", "distilled_guidance_layer": "in_proj",
}  # fmt: skip


def time_embedding(network: nn.Module) -> tuple[Any, Any]:
    """The timestep embedding of a U-Net or transformer of diffusers, and its first layer."""
    modules = dict(network.named_modules())
    for name, first in EMBEDDINGS.items():
        if name in modules:
            return modules[name], modules[f"{name}.{first}"]
    raise UsageError(f"a {type(network).__name__} has no timestep embedding: shortcuts need a diffusers U-Net or DiT")


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
        with self.size.conditioned(h):
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
        weights, facts = read(path, KIND, base, COMMAND)
        shortcut = cls(base, facts["rank"])
        for name, p in shortcut._named().items():
            p.data.copy_(weights[name])
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
        weights, facts = checkpoint.read(path)
    except UsageError as error:
        raise UsageError(f"{shown(path)} is no whole safetensors file: make a {kind} with `{command}`") from error
    if facts.get("kind") != kind:
        raise UsageError(f"{shown(path)} holds no {kind}: make one with `{command}`")
    if facts["base"] != fingerprint(base):
        owner = f"another model ({facts['model']!r}) than {base.name!r}, or for other weights of it"
        raise UsageError(f"the {kind} in {shown(path)} was made for {owner}: make one with `{command}`")
    return weights, facts


def fingerprint(model: Model) -> str:
    """Hex digest of the denoiser's weights: some of each, in bf16, whatever type they were loaded in."""
    digest = hashlib.sha256(model.family.encode())
    for _, p in sorted(model.denoiser.named_parameters()):
        sample = p.detach().flatten()[:: max(1, p.numel() // SAMPLED)]
        digest.update(repr(tuple(p.shape)).encode())
        digest.update(sample.bfloat16().cpu().view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:32]
