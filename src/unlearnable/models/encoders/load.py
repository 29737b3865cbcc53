"""Encoders by name: the real one where it is on this machine or requested, else the small stand-in that ships."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearnable.errors import SetupError, UsageError, shown
from unlearnable.models.encoders import standin
from unlearnable.models.encoders.families import FAMILIES, Family, family
from unlearnable.models.encoders.latents import CLASSES, UNUSED, Latents, reduction

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
ALL = "all"


@dataclass(frozen=True)
class Encoder:
    """Pictures ``[b 3 h w]`` in [0, 1] to latents ``[b c h' w']`` of about unit spread; sides are made to divide by
    `multiple`.

    `source` says where it came from, `real` whether it is the family's own encoder or a stand-in.
    """

    name: str
    source: str
    real: bool
    network: nn.Module = field(repr=False, compare=False)
    latents: Latents = field(repr=False, compare=False)
    multiple: int

    def __call__(self, x: Tensor) -> Tensor:
        right, below = (-side % self.multiple for side in (x.shape[-1], x.shape[-2]))
        if right or below:
            x = F.pad(x, (0, right, 0, below), mode="replicate")
        return self.latents(self.network, x).float()


def load(names: str | Sequence[str], *, device: str | torch.device = "cpu", offline: bool = False) -> list[Encoder]:
    """Encoders of names such as ``flux2,sd1``, ``all``, or ``mine=FOLDER-or-hub-id``.

    A plain name takes the real encoder where it is on this machine, else its stand-in; without either it is fetched,
    unless `offline`. Raises UsageError for unknown names and SetupError for encoders that cannot be loaded.
    """
    parts = names.split(",") if isinstance(names, str) else list(names)
    listed = [name for part in filter(None, map(str.strip, parts)) for name in (FAMILIES if part == ALL else [part])]
    if not listed:
        raise UsageError("no encoder is named: give some of " + ", ".join(FAMILIES))
    return [one(name, device, offline) for name in dict.fromkeys(listed)]


def one(text: str, device: str | torch.device, offline: bool) -> Encoder:
    name, equals, source = text.partition("=")
    if equals:
        if not source:
            raise UsageError(f"encoder {text!r} has no source: write NAME=FOLDER-or-hub-id")
        return real(name, source, device, offline)
    entry = family(name)
    if local(entry.repository, entry.subfolder) is None and name in standin.NAMES:
        network = standin.load(name).to(device)
        return Encoder(name, "stand-in that ships", False, network, standin.latents, 8)
    return real(name, entry.repository, device, offline, entry)


def real(name: str, source: str, device: str | torch.device, offline: bool, expected: Family | None = None) -> Encoder:
    """The encoder of an autoencoder in diffusers' layout, by folder or hub id; its decoder is not loaded."""
    subfolder = expected.subfolder if expected else "vae"
    folder = local(source, subfolder) or fetched(source, subfolder, offline)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    kind = config.get("_class_name")
    if kind not in CLASSES:
        raise UsageError(f"{shown(source)} holds a {kind}, whose latents are not known here: use {', '.join(CLASSES)}")
    if expected and kind != expected.kind:
        raise UsageError(
            f"{shown(source)} holds a {kind}, where {name} has a {expected.kind}: name it as NAME={source}"
        )
    network = built(kind, config, folder / WEIGHTS).to(device)
    multiple = reduction(config) * CLASSES[kind].patch
    return Encoder(name, source, True, network, CLASSES[kind].latents, multiple)


def built(kind: str, config: dict[str, Any], weights: Path) -> nn.Module:
    """The autoencoder without its decoder, in float32."""
    import diffusers
    from accelerate import init_empty_weights
    from safetensors import SafetensorError, safe_open

    with init_empty_weights():
        network: Any = getattr(diffusers, kind).from_config(config)
    for part in UNUSED:
        if hasattr(network, part):
            setattr(network, part, nn.Identity())
    try:
        with safe_open(weights, "pt") as file:
            names = [name for name in file.keys() if name.partition(".")[0] not in UNUSED]  # noqa: SIM118
            tensors = {name: file.get_tensor(name).float() for name in names}
        left = network.load_state_dict(tensors, strict=False, assign=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise SetupError(f"{shown(weights)} is no whole safetensors file of a {kind}: fetch it again") from error
    if left.missing_keys:
        raise SetupError(f"{shown(weights)} lacks {left.missing_keys[0]!r} of a {kind}: fetch it again")
    frozen: nn.Module = network.eval().requires_grad_(False)
    return frozen


def local(source: str, subfolder: str) -> Path | None:
    """The folder of an autoencoder on this machine, or None; never touches the network."""
    for place in (Path(source) / subfolder, Path(source)):
        if (place / CONFIG).is_file() and (place / WEIGHTS).is_file():
            return place
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = [try_to_load_from_cache(source, f"{subfolder}/{name}") for name in (CONFIG, WEIGHTS)]
    except HFValidationError:
        return None
    return Path(str(cached[0])).parent if all(isinstance(path, str) for path in cached) else None


def fetched(source: str, subfolder: str, offline: bool) -> Path:
    """The folder of an autoencoder in the hub's cache, downloaded if necessary."""
    from huggingface_hub import hf_hub_download

    from unlearnable.models import offline as network

    local_only = offline or network.offline()
    if Path(source).exists():
        raise SetupError(f"{shown(source)} holds no autoencoder: it needs {CONFIG} and {WEIGHTS}, in it or in vae/")
    try:
        paths = [
            hf_hub_download(source, name, subfolder=subfolder, local_files_only=local_only)
            for name in (CONFIG, WEIGHTS)
        ]
    except Exception as error:  # the hub's client raises many kinds for a name, a gate, a broken connection
        gated = "gated" in f"{type(error).__name__} {error}".lower()
        remedy = (
            "accept its licence on its page and log in with `hf auth login`" if gated
            else "run once with network" if local_only else "check the name and the network"
        )  # fmt: skip
        raise SetupError(
            f"the encoder of {shown(source)} is not on this machine and could not be fetched: {remedy}"
        ) from error
    return Path(paths[0]).parent
