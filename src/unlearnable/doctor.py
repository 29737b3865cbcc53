"""Report on the machine: what is installed, what is missing, and the remedy."""

from __future__ import annotations

import importlib.util
import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version


@dataclass(frozen=True)
class Finding:
    """One line of the report; `value` holds the remedy where `ok` is false."""

    name: str
    ok: bool
    value: str


def examine() -> list[Finding]:
    """All findings, the most basic first."""
    return [python(), *packages(), torchvision(), device(), memory(), hub(), embedded()]


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
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (ValueError, OSError, AttributeError):
        return Finding("memory", True, "unknown")
    if total < 4:
        return Finding("memory", False, f"{total:.1f} GiB: 4 GiB or more is needed; use --batch 1 and small pictures")
    return Finding("memory", True, f"{total:.1f} GiB")


def hub() -> Finding:
    offline = os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")
    home = os.environ.get("HF_HOME", "its default place")
    return Finding("model hub", True, f"{'offline mode (HF_HUB_OFFLINE)' if offline else 'online'}, HF_HOME is {home}")


def embedded() -> Finding:
    from unlearnable.models.load import EMBEDDED_FOLDER

    if (EMBEDDED_FOLDER / "model_index.json").is_file():
        return Finding("embedded model", True, str(EMBEDDED_FOLDER))
    return Finding("embedded model", False, "missing from this installation: reinstall the package")
