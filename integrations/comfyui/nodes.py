"""The nodes: what they ask for, and the verb that each of them is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

import unlearnable
from unlearnable import registry
from unlearnable.recipe import Recipe

from . import batches

STRENGTHS = ["subtle", "standard", "strong", "paper"]
SEED = ("INT", {"default": 0, "min": 0, "max": 2**32 - 1})
MODEL = ("STRING", {"default": "embedded", "tooltip": "embedded, a folder in the diffusers layout, or a hub id"})


def progress() -> Callable[[float, int], None]:
    """Fills ComfyUI's bar, and stops where its user says so."""
    from comfy.model_management import throw_exception_if_processing_interrupted
    from comfy.utils import ProgressBar

    bar = ProgressBar(100)

    def tell(done: float, total: int) -> None:
        throw_exception_if_processing_interrupted()
        bar.update_absolute(round(100 * done / total), 100)

    return tell


class Protect:
    """Protected twins of pictures, at their own size, and a line of what was measured for each."""

    CATEGORY, FUNCTION = "unlearnable", "run"
    RETURN_TYPES, RETURN_NAMES = ("IMAGE", "STRING"), ("protected", "measured")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        own = Recipe()
        return {
            "required": {
                "images": ("IMAGE",),
                "method": (registry.names(), {"default": own.method}),
                "strength": (STRENGTHS, {"default": own.strength}),
                "prompt": ("STRING", {"default": own.prompt, "tooltip": "what the pictures show"}),
                "seed": SEED,
            },
            "optional": {
                "mask": ("MASK",),
                "model": MODEL,
                "against": ("STRING", {"default": "", "tooltip": "encoders to move too, as in flux2,sd1"}),
                "steps": ("INT", {"default": 0, "min": 0, "max": 10_000, "tooltip": "0: the method's own"}),
            },
        }

    def run(
        self, images: Tensor, method: str, strength: str, prompt: str, seed: int, mask: Tensor | None = None,
        model: str = "embedded", against: str = "", steps: int = 0,
    ) -> tuple[Tensor, str]:  # fmt: skip
        recipe = Recipe(
            method=method, strength=strength, prompt=prompt, seed=seed, model=model, against=against or None,
            steps=steps or None,
        )  # fmt: skip
        with batches.workshop() as place:
            where = None if mask is None else batches.write_masks(mask, len(images), place / "masks")
            source = batches.write(images, place / "in")
            protected, results = batches.read(
                unlearnable.protect(source, place / "out", recipe, mask=where, progress=progress())
            )
        said = [f"PSNR {r.measured['psnr']:.1f} dB, largest change {r.measured['linf']:g} of 255" for r in results]
        return protected, "\n".join(said)


class Purify:
    """What an attacker makes of pictures first: a chain of countermeasures."""

    CATEGORY, FUNCTION = "unlearnable", "run"
    RETURN_TYPES, RETURN_NAMES = ("IMAGE",), ("purified",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        how = ("STRING", {"default": "jpeg:75+resize:0.5", "tooltip": ", ".join(registry.names("purifier"))})
        return {"required": {"images": ("IMAGE",), "how": how, "seed": SEED}, "optional": {"model": MODEL}}

    def run(self, images: Tensor, how: str, seed: int, model: str = "embedded") -> tuple[Tensor]:
        with batches.workshop() as place:
            source = batches.write(images, place / "in")
            options: dict[str, Any] = {"model": model, "seed": seed, "progress": progress()}
            return (batches.read(unlearnable.purify(source, place / "out", how, **options))[0],)


class EncodersCheck:
    """How much further protected pictures move what encoders see than random noise of the same size does."""

    CATEGORY, FUNCTION, OUTPUT_NODE = "unlearnable", "run", True
    RETURN_TYPES, RETURN_NAMES = ("FLOAT", "STRING"), ("least_ratio", "report")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        against = ("STRING", {"default": "flux2,sd1", "tooltip": "NAME=FOLDER-or-hub-id for your own"})
        return {"required": {"clean": ("IMAGE",), "protected": ("IMAGE",), "against": against, "seed": SEED}}

    def run(self, clean: Tensor, protected: Tensor, against: str, seed: int) -> dict[str, Any]:
        from unlearnable.evaluation.shifts import compare
        from unlearnable.models.encoders.load import load

        with batches.workshop() as place:
            folders = [batches.write(images, place / what) for what, images in (("a", clean), ("b", protected))]
            report = compare(*folders, load(against), seed=seed, progress=progress())
        if report.failed:
            raise RuntimeError(report.failed[0])
        lines = [
            f"{s.encoder} ({'real' if s.real else 'stand-in'}), behind {s.purify}: {s.ratio.value:.2f} times noise"
            for s in report.shifts
        ]
        text = "\n".join(lines)
        return {"ui": {"text": [text]}, "result": (min(s.ratio.value for s in report.shifts), text)}


NODE_CLASS_MAPPINGS = {
    "UnlearnableProtect": Protect,
    "UnlearnablePurify": Purify,
    "UnlearnableEncodersCheck": EncodersCheck,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "UnlearnableProtect": "Protect from being learned",
    "UnlearnablePurify": "Purify (attacker's countermeasures)",
    "UnlearnableEncodersCheck": "What encoders see",
}
