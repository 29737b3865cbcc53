"""Report on the machine: what is installed, what is missing, and the remedy."""

from __future__ import annotations

import importlib.util
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version


@dataclass(frozen=True)
class Finding:
    """One line of the report; `value` holds the remedy where `ok` is false."""

    name: str
    ok: bool
    value: str


def examine(model: str | None = None) -> list[Finding]:
    """All findings, the most basic first; with a `model` also what memory it takes."""
    machine = [python(), *packages(), torchvision(), device(), memory(), hub(), embedded()]
    return machine + (needed(model) if model else [])


def python() -> Finding:
    return Finding("python", True, f"{platform.python_version()} on {platform.platform(terse=True)}")


def packages() -> list[Finding]:
    findings = []
    for name in ("unlearnable", "torch", "diffusers", "transformers", "peft", "kornia", "pillow"):
        try:
            findings.append(Finding(name, True, version(name)))
        except PackageNotFoundError:
            findings.append(Finding(name, False, f"missing: run `pip install -c constraints.txt {name}`"))
    return findings


def torchvision() -> Finding:
    """A check of torchvision, which is not needed: a build for another torch breaks the imports of half the stack."""
    if importlib.util.find_spec("torchvision") is None:
        return Finding("torchvision", True, "absent, and not needed")
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:
        return Finding("torchvision", False, f"broken ({error}): run `pip uninstall torchvision`")
    return Finding("torchvision", True, f"{torchvision.__version__}, not needed")


def device() -> Finding:
    import torch

    from unlearnable.models.load import resolve_device, resolve_dtype

    place = resolve_device("auto")
    label = torch.cuda.get_device_name(place) if place.type == "cuda" else f"{torch.get_num_threads()} threads"
    return Finding("device", True, f"{place} ({label}), computing in {resolve_dtype('auto', place) or torch.float32}")


def memory() -> Finding:
    total = main_memory()
    if total is None:
        return Finding("memory", True, "unknown")
    if total < 4:
        return Finding("memory", False, f"{total:.1f} GiB: 4 GiB or more is needed; use --batch 1 and small pictures")
    return Finding("memory", True, f"{total:.1f} GiB")


def main_memory() -> float | None:
    """GiB of this machine, or None where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError, AttributeError):
        return None


def needed(model: str) -> list[Finding]:
    """What memory a model takes, without activations, against what the default device has."""
    import torch

    from unlearnable.models import memory as models
    from unlearnable.models.load import resolve_device

    place, counted = resolve_device("auto"), models.memory(model)
    graphics = torch.cuda.get_device_properties(place).total_memory / 2**30 if place.type == "cuda" else None
    here = graphics or main_memory() or float("inf")
    dtypes = models.BYTES if place.type != "cpu" else {"float32": 4}  # weights lie in float32 on processors

    def finding(purpose: str, size: Callable[[str], int]) -> Finding:
        sizes = {dtype: size(dtype) / 2**30 for dtype in dtypes}
        listed = ", ".join(f"{gib:.1f} GiB in {dtype}" for dtype, gib in sizes.items())
        fits = min(sizes.values()) < here
        return Finding(purpose, fits, listed + ("" if fits else f": more than the {here:.1f} GiB of {place}"))

    networks = ", ".join(f"{part} {count / 1e6:,.1f} M" for part, count in counted.parameters.items())
    return [
        Finding("parameters", True, networks),
        finding("to protect", counted.loaded),
        finding(f"to train a LoRA of rank {models.RANK}", lambda dtype: counted.training(dtype, lora=True)),
        finding("to train all of it", lambda dtype: counted.training(dtype, lora=False)),
        Finding("activations", True, "come on top: lower --batch and --resolution, or use --checkpointing"),
    ]


def hub() -> Finding:
    offline = os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")
    home = os.environ.get("HF_HOME", "its default place")
    return Finding("model hub", True, f"{'offline mode (HF_HUB_OFFLINE)' if offline else 'online'}, HF_HOME is {home}")


def embedded() -> Finding:
    from unlearnable.models.load import EMBEDDED_FOLDER

    if (EMBEDDED_FOLDER / "model_index.json").is_file():
        return Finding("embedded model", True, str(EMBEDDED_FOLDER))
    return Finding("embedded model", False, "missing from this installation: reinstall the package")
