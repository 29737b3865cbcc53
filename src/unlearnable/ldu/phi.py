"""Phi denoises shifted latents in k steps: a shortcut model where there is one, else what the user has.

As text: ``auto``, ``ddim``, ``shortcut:FILE``, ``lcm:FILE``, ``turbo:MODEL``. `auto` is the shortcut that ships where
the model is the one it was made for (the embedded model), else plain DDIM.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from unlearnable.errors import UsageError, shown
from unlearnable.ldu.consistency import finest
from unlearnable.ldu.shortcut import Shortcut
from unlearnable.models.base import Condition, Model
from unlearnable.models.invert import Step, ddim, denoise, descent
from unlearnable.models.load import EMBEDDED_FOLDER

SHIPPED = EMBEDDED_FOLDER / "shortcut" / "shortcut.safetensors"
KINDS = ("auto", "ddim", "shortcut:FILE", "lcm:FILE", "turbo:MODEL")
T = TypeVar("T")
LCM_TIMES = 50  # evenly spaced times that LCM-LoRA knows, the schedule's last among them (arXiv 2311.05556)


@dataclass(frozen=True)
class Phi:
    """`model` is the network that is asked (with text conditions of its own); `source` says where it came from."""

    kind: str
    model: Model
    step: Step = ddim
    source: str = ""

    def __call__(self, z: Tensor, c: Condition, times: Sequence[int]) -> Tensor:
        """Latents ``[b c h w]`` at ``times[0]`` to those at ``times[-1]``; `c` comes from this model's `condition`."""
        return denoise(self.model, z, c, times, self.step)

    def times(self, k: int, t_start: float) -> list[int]:
        """`k` times from `t_start` (a share of the schedule) down, and `CLEAN`; raises UsageError where it cannot."""
        schedule = self.model.schedule
        if k < 1 or k & (k - 1):
            raise UsageError(f"k {k} is not a power of two: give 1, 2, 4 or 8 steps")
        if not 0 < t_start <= 1:
            raise UsageError(f"t_start {t_start:g} is out of range: give a share of the schedule above 0 and up to 1")
        top = round(t_start * len(schedule)) - 1
        if top + 1 < k:
            raise UsageError(f"t_start {t_start:g} has {top + 1} times, too few for {k} steps: give a larger one")
        if self.kind == "shortcut":
            halved = math.log2(k / t_start)
            if not halved.is_integer() or halved > finest(schedule):
                most = 2.0 ** (finest(schedule) - math.log2(k))
                give = f"give 1, 0.5, 0.25 and so on down to {1 / most:g}"
                raise UsageError(f"the shortcut has no {k} jumps from t_start {t_start:g}: {give}, or phi=ddim")
            return descent(schedule, 2 ** int(halved))[-k - 1 :]
        times = descent(schedule, k, top)
        if self.kind == "lcm":
            grid = len(schedule) / LCM_TIMES
            times[:-1] = [min(top, round(math.ceil((t + 1) / grid) * grid) - 1) for t in times[:-1]]
        return times

    def describe(self) -> str:
        of = f" {shown(self.source)}" if self.source else ""
        return {
            "ddim": "plain DDIM (no shortcut model was named)",
            "shortcut": f"the shortcut model{of}",
            "lcm": f"the LCM-LoRA{of}",
            "turbo": f"the few-step checkpoint{of}",
        }[self.kind]


def load_phi(text: str, model: Model) -> Phi:
    """The Phi of a text, for latents of `model`; raises UsageError for one that does not fit it."""
    kind, _, source = text.partition(":")
    if kind not in LOADERS or (kind in ("auto", "ddim")) == bool(source):
        raise UsageError(f"unknown phi {text!r}: use one of {', '.join(KINDS)}")
    return LOADERS[kind](source, model)


def _auto(source: str, model: Model) -> Phi:
    if SHIPPED.is_file():
        try:
            return Phi("shortcut", model, Shortcut.load(SHIPPED, model).step, "that ships")
        except UsageError:  # made for other weights than this model's
            pass
    return Phi("ddim", model)


def _lcm(source: str, model: Model) -> Phi:
    """Its boundary scalings differ from (0, 1) by less than 1e-5 at any time that is asked, and are left out.

    The noise of the next time is the one the network implies, not a fresh one, so that the result is deterministic.
    """
    from unlearnable.models.load import guarded
    from unlearnable.models.quiet import quiet

    if not Path(source).is_file():
        raise UsageError(f"there is no file {shown(source)}: give the LCM-LoRA's safetensors file")
    twin = model.copy(share=True)  # layers of its own take the LoRA; the weights below it are only read
    with quiet(), guarded(source, offline=True):
        folder, name = Path(source).parent, Path(source).name
        twin.pipeline().load_lora_weights(str(folder), weight_name=name, use_safetensors=True, local_files_only=True)
    twin.denoiser.requires_grad_(False)
    return Phi("lcm", twin, ddim, source)


def _turbo(source: str, model: Model) -> Phi:
    from unlearnable.models.load import load_model

    turbo = load_model(source, device=str(model.device), dtype="bfloat16" if model.amp else "float32")
    side = 8 * max(model.multiple, turbo.multiple)
    if turbo.latent_shape(side, side) != model.latent_shape(side, side) or turbo.factor != model.factor:
        raise UsageError(f"{turbo.name!r} works on other latents than {model.name!r}: use one of its kind")
    return Phi("turbo", turbo, ddim, source)


LOADERS: dict[str, Callable[[str, Model], Phi]] = {
    "auto": _auto,
    "ddim": lambda source, model: Phi("ddim", model),
    "shortcut": lambda source, model: Phi("shortcut", model, Shortcut.load(Path(source), model).step, source),
    "lcm": _lcm,
    "turbo": _turbo,
}


def phi_of(text: str, model: Model) -> Phi:
    """`load_phi`, once for a model: files are read and networks built for the first group of pictures only."""
    return once(model, ("phi", text), lambda: load_phi(text, model))


def once(model: Model, key: tuple[str, ...], make: Callable[[], T]) -> T:
    """The value of `make`, called once for each model and key."""
    owner, cache = vars(model).get("_once", (None, None))
    if owner is None or owner() is not model.denoiser:  # a copy with a denoiser of its own begins anew
        cache = {}
        vars(model)["_once"] = weakref.ref(model.denoiser), cache
    if key not in cache:
        cache[key] = make()
    value: T = cache[key]
    return value
