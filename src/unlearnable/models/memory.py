"""How much memory a model takes, from its configurations alone: no weights are read or made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearnable.errors import UsageError
from unlearnable.models.adapters import ADAPTERS
from unlearnable.models.load import folder_of, guarded
from unlearnable.models.outline import config

RANK = 4  # of the LoRA that is counted: that of diffusers' examples
TRAINED = 16  # bytes for a parameter in training: float32 weight and gradient, and AdamW's two averages
BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True)
class Memory:
    """`parameters` of each network of a model, and of a LoRA in the denoiser, which comes first among the networks.

    All counts of bytes leave out activations, which grow with the pictures' size and number.
    """

    parameters: dict[str, int]
    lora: int

    def loaded(self, dtype: str) -> int:
        """Bytes of all weights. Protecting needs no more: of weights it takes no gradient."""
        return sum(self.parameters.values()) * BYTES[dtype]

    def training(self, dtype: str, lora: bool) -> int:
        """Bytes to train a LoRA or, as DreamBooth, a float32 copy of the denoiser beside the model."""
        return self.loaded(dtype) + TRAINED * (self.lora if lora else next(iter(self.parameters.values())))


def memory(name: str, offline: bool = False) -> Memory:
    """The memory of a model by folder or hub id, of which only configurations are fetched where they are not here.

    Raises UsageError for an unknown class of model, and SetupError where the configurations cannot be read.
    """
    from accelerate import init_empty_weights
    from torch import nn

    from unlearnable.models.finetune.lora import targets

    with guarded(name, offline):
        folder = configurations(name, offline)
        index = config(folder / "model_index.json")
        kind = index["_class_name"]
        if kind not in ADAPTERS:
            raise UsageError(f"model {name!r} is a {kind}, which is not supported: use one of {', '.join(ADAPTERS)}")
        parts = [part for part in ("unet", "transformer", "vae", *TEXTS) if isinstance(index.get(part), list)]
        with init_empty_weights():
            networks = {part: empty(index[part], config(folder / part / "config.json")) for part in parts}
        for part in networks.keys() & TEXTS:
            networks[part].tie_weights()  # an embedding that is used twice counts once
        denoiser = next(iter(networks.values()))
        chosen = set(targets(denoiser))
        layers = [m for n, m in denoiser.named_modules() if n in chosen and isinstance(m, nn.Linear)]
        lora = sum(RANK * (layer.in_features + layer.out_features) for layer in layers)
    return Memory({part: sum(p.numel() for p in network.parameters()) for part, network in networks.items()}, lora)


TEXTS = ("text_encoder", "text_encoder_2", "text_encoder_3")


def configurations(name: str, offline: bool) -> Path:
    """The folder of a model's configurations, fetched if necessary."""
    from huggingface_hub import snapshot_download

    from unlearnable.models import offline as network

    folder = folder_of(name)
    if folder is not None and any((folder / part / "config.json").is_file() for part in ("unet", "transformer")):
        return folder
    wanted, local = ["model_index.json", "*/config.json"], offline or network.offline()
    return Path(snapshot_download(name, allow_patterns=wanted, local_files_only=local))


def empty(entry: list[str], settings: dict[str, Any]) -> Any:
    """A network of diffusers or transformers, as an index's entry has them, without weights."""
    import diffusers
    import transformers

    library, kind = entry
    if library == "diffusers":
        return getattr(diffusers, kind).from_config(settings)
    network = getattr(transformers, kind)
    return network(network.config_class.from_dict(settings))
