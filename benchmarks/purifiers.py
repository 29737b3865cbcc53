"""What each countermeasure costs on clean pictures: PSNR, SSIM and time, beside the pictures as they were.

    python benchmarks/purifiers.py                        # 12 Kodak photographs of ../shared, the embedded model
    python benchmarks/purifiers.py --data FOLDER --model ID --sheet sheet.png

Every row is written as it is measured; what was stopped goes on by the same command, which measures no row twice.

Pictures are scaled to squares of 256 px, and of the model's size; the dearest countermeasures are measured at the
latter only. Without --data and ../shared, photographs that scikit-image carries are used. Results are means.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from loss import photographs
from unlearnable import load_model
from unlearnable.evaluation.machine import processor
from unlearnable.images import files
from unlearnable.images.square import square
from unlearnable.images.tensors import tensor
from unlearnable.purification.chain import parse

KODAK = Path(__file__).parents[2] / "shared" / "data" / "eval" / "kodak"
CHAINS = (
    "none", "jpeg:100", "jpeg:95", "jpeg:75", "jpeg:50", "resize:0.75", "resize:0.5", "resize:0.25", "blur:0.5",
    "blur:1", "blur:2", "median:3", "median:5", "saturate", "noise:4", "noise:8", "noise:16", "bits:6", "bits:5",
    "bits:4", "tv:0.05", "tv:0.1", "tv:0.2", "jpeg:75+resize:0.5", "vae", "diffpure:0.05", "diffpure:0.1",
    "diffpure:0.15", "diffpure:0.15:eta=0", "diffpure:0.3",
)  # fmt: skip
DEAR = ("gridpure", "impress:0.03", "impress:0.1", "upscale:8:0.1", "upscale")
COLUMNS = 9  # of the sheet


def measured(x: torch.Tensor, y: torch.Tensor) -> dict[str, float]:
    """Mean PSNR (dB; infinite ones left out) and SSIM by scikit-image over 8-bit pictures."""
    before, after = ((p * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy() for p in (x, y))
    psnr = [peak_signal_noise_ratio(a, b) for a, b in zip(before, after) if (a != b).any()]
    ssim = [structural_similarity(a, b, channel_axis=2) for a, b in zip(before, after)]
    return {
        "psnr": float(np.mean(psnr)) if psnr else None,
        "psnr_least": float(np.min(psnr)) if psnr else None,
        "ssim": float(np.mean(ssim)),
    }


def sheet(pictures: dict[str, torch.Tensor], path: Path) -> None:
    """The first picture after every chain, by name."""
    side = next(iter(pictures.values())).shape[-1]
    rows = -(-len(pictures) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * (side + 4), rows * (side + 18)), "white")
    pen = ImageDraw.Draw(page)
    for number, (name, x) in enumerate(pictures.items()):
        left, top = number % COLUMNS * (side + 4), number // COLUMNS * (side + 18)
        page.paste(Image.fromarray((x * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()), (left, top))
        pen.text((left + 2, top + side + 2), name, fill="black", font_size=11)
    page.save(path)


def before(path: Path, about: dict[str, object]) -> dict[str, dict[str, dict[str, float]]]:
    """Rows that an earlier run has measured on the same pictures with the same model."""
    found = json.loads(path.read_text()) if path.exists() else {}
    return dict(found["rows"]) if found.get("about") == about else {}


def keep(path: Path, about: dict[str, object], rows: dict[str, dict[str, dict[str, float]]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")


def cell(value: float | None, digits: int) -> str:
    return "same" if value is None else f"{value:.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=KODAK)
    parser.add_argument("--pictures", type=int, default=12)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--chains", nargs="+", help="these instead of the table's")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "purifiers.json")
    parser.add_argument("--sheet", type=Path, help="write the first picture after every chain, at the model's size")
    options = parser.parse_args()

    started, model = time.monotonic(), load_model(options.model)
    given = options.data != KODAK or KODAK.is_dir()
    found = [files.read(source).pixels for source, _ in files.find([options.data], True, None)] if given else None
    pictures = (found or photographs())[: options.pictures]
    sizes = sorted({options.size, model.size}, reverse=True)
    seen = {side: torch.cat([square(tensor(p)[None] / 255, side) for p in pictures]) for side in sizes}
    seen = {side: (x * 255).round() / 255 for side, x in seen.items()}

    about = {"pictures": len(pictures), "model": model.fingerprint(), "size": options.size, "data": options.data.name}
    rows: dict[str, dict[str, dict[str, float]]] = {}
    first: dict[str, torch.Tensor] = {}
    known = before(options.json, about)
    for text in options.chains or (*CHAINS, *DEAR):
        chain = parse(text, model)
        if chain.name in known and not options.sheet:
            rows[chain.name] = known[chain.name]
            continue
        rows[chain.name] = {}
        for side in sizes if text not in DEAR else [model.size]:
            begun = time.monotonic()
            y = chain(seen[side], seed=0)
            seconds = (time.monotonic() - begun) / len(pictures)
            rows[chain.name][str(side)] = measured(seen[side], y) | {"seconds": seconds}
            if side == model.size:
                first[chain.name] = y[0]
        known |= {chain.name: rows[chain.name]}
        keep(options.json, about, known)
        print(f"{chain.name} done", file=sys.stderr, flush=True)

    print(f"\n{len(pictures)} pictures, model {options.model}, seed 0; {processor()}, ", end="")
    print(f"{torch.get_num_threads()} threads, {model.device}; {time.monotonic() - started:.0f} s in all\n")
    heads = [f"PSNR {side} px | SSIM | s a picture" for side in sizes]
    print("| countermeasure | " + " | ".join(heads) + " |\n|---|" + "---|" * 3 * len(sizes))
    for name, row in rows.items():
        cells = [
            f"{cell(row[side]['psnr'], 1)} | {cell(row[side]['ssim'], 3)} | {row[side]['seconds']:.2f}"
            if side in row
            else "| |"
            for side in map(str, sizes)
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")
    if options.sheet:
        sheet(first, options.sheet)


if __name__ == "__main__":
    main()
