"""At which scale should a picture larger than the model be protected? What is left when an attacker scales it down.

    python benchmarks/scale.py

Three photographs at native size under the standard strength, protected at several scales; the gain in the embedded
model's loss over the clean picture, times 1000, seen at 128 px (the model's size), 256 px and 512 px.
"""

import tempfile
from pathlib import Path

import torch
from PIL import Image
from skimage import data

import unlearnable
from loss import square
from unlearnable.images import files
from unlearnable.protection.engine import Protection

SEEN, STEPS = (128, 256, 512), 40


def main() -> None:
    model, probe = unlearnable.load_model(), Protection("probe")
    photographs = {"astronaut": data.astronaut(), "cat": data.cat(), "coffee": data.coffee()}

    def losses(folder: Path) -> dict[int, float]:
        pictures = [files.read(folder / f"{name}.png").pixels for name in photographs]
        seen = {side: torch.cat([square(pixels, side) for pixels in pictures]) for side in SEEN}
        return {side: float(probe.evaluate(model, x, prompt="a photo").mean()) for side, x in seen.items()}

    with tempfile.TemporaryDirectory() as place:
        originals = Path(place, "originals")
        originals.mkdir()
        for name, pixels in photographs.items():
            Image.fromarray(pixels).save(originals / f"{name}.png")
        clean = losses(originals)
        print(
            "| protected at | " + " | ".join(f"seen at {side} px" for side in SEEN) + " |\n|---|" + "---|" * len(SEEN)
        )
        for method, resolution in (("random", 0), ("advdm", 128), ("advdm", 256), ("advdm", 512)):
            recipe = unlearnable.Recipe(method=method, resolution=resolution, steps=STEPS)
            out = Path(place, f"{method}{resolution}")
            for result in unlearnable.protect([originals], out, recipe, model=model):
                assert result.status == "protected", result.message
            gains = [f"{1000 * (loss - clean[side]):+.0f}" for side, loss in losses(out).items()]
            print(f"| {method} {resolution or ''} | " + " | ".join(gains) + " |", flush=True)


if __name__ == "__main__":
    main()
