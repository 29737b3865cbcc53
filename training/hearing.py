"""How far the trained encoders and their teachers are moved: by random noise, and by what is made against the encoders.

    python training/hearing.py                       # encoders in the cache; photographs of ../shared/data/eval
    python training/hearing.py --sizes 256 --count 6

Distances are root mean squares in units of each latent channel's own standard deviation over the pictures. The ascent
takes 25 steps of sign ascent at 4/255 on the squared distance (on several encoders, on the product of theirs) and is
then scaled to 36.1 dB, as random noise is.
"""

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from common import CACHE, averaged_encoder
from data import DEFAULT_DATA
from decoder import trained_encoder
from encoder import latents
from photographs import resized
from teachers import teacher

Encode = Callable[[Tensor], Tensor]
STEPS, EPS, PSNR = 25, 4 / 255, 36.1


def pictures(folder: Path, size: int, count: int) -> Tensor:
    """Middle squares of one photograph of each subject, scaled to `size` px; ``[n 3 size size]`` in [0, 1]."""
    squares = []
    for subject in sorted(p for p in folder.iterdir() if p.is_dir())[:count]:
        file = min(subject.iterdir())
        pixels = np.array(Image.open(file, formats=["JPEG", "PNG", "WEBP"]).convert("RGB"))
        whole = resized(torch.from_numpy(pixels).permute(2, 0, 1), size)
        top, left = ((side - size) // 2 for side in whole.shape[-2:])
        squares.append(whole[:, top : top + size, left : left + size])
    return torch.stack(squares).float() / 255


def to_budget(delta: Tensor) -> Tensor:
    """Each picture's perturbation scaled to `PSNR` dB."""
    rms = delta.square().mean((1, 2, 3), keepdim=True).sqrt()
    return delta * 10 ** (-PSNR / 20) / rms


def on_grid(x: Tensor, delta: Tensor) -> Tensor:
    """Perturbed pictures as a file holds them."""
    return ((x + delta).clamp(0, 1) * 255).round() / 255


def ascent(encoders: list[Encode], x: Tensor, spreads: list[Tensor]) -> Tensor:
    """A perturbation that moves the latents of all `encoders`: ascent on the product of their squared distances.

    The product does not depend on the encoders' scales. The sum is won by whichever moves most.
    """
    with torch.no_grad():
        clean = [encode(x) for encode in encoders]
    delta = EPS / 2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).sign()
    for _ in range(STEPS):
        delta.requires_grad_(True)
        moved = [encode((x + delta).clamp(0, 1)) for encode in encoders]
        distances = [((m - c) / s).square().mean((1, 2, 3)) for m, c, s in zip(moved, clean, spreads)]
        (gradient,) = torch.autograd.grad(sum(d.clamp_min(1e-12).log().sum() for d in distances), delta)
        delta = (delta.detach() + EPS / 4 * gradient.sign()).clamp(-EPS, EPS)
    return to_budget(delta)


def jpeg(x: Tensor, quality: int = 75) -> Tensor:
    out = []
    for picture in (x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy():
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
        out.append(torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1))
    return torch.stack(out).float() / 255


def halved(x: Tensor) -> Tensor:
    """Every picture at half its size, by antialiased bicubic interpolation, on the 8-bit grid."""
    small = F.interpolate(x, scale_factor=0.5, mode="bicubic", antialias=True)
    return (small.clamp(0, 1) * 255).round() / 255


COUNTERMEASURES: dict[str, Callable[[Tensor], Tensor]] = {
    "as it is": lambda x: x, "JPEG 75": jpeg, "resize 0.5": halved, "both": lambda x: jpeg(halved(x)),
}  # fmt: skip


@torch.no_grad()
def shift(encode: Encode, x: Tensor, y: Tensor) -> float:
    """RMS distance of latents of `y` from those of `x`, in units of each channel's standard deviation."""
    a, b = encode(x), encode(y)
    spread = a.transpose(0, 1).flatten(1).std(1).view(1, -1, 1, 1)
    return ((b - a) / spread).square().mean().sqrt().item()


@torch.no_grad()
def disagreement(student: Encode, wanted: Encode, x: Tensor) -> float:
    """Mean squared difference of student and teacher in units of the teacher's variance on `x`."""
    a = wanted(x)
    variance = a.transpose(0, 1).flatten(1).var(1).view(1, -1, 1, 1)
    return ((student(x) - a).square() / variance).mean().item()


def figures(names: dict[str, tuple[Encode, Encode]], x: Tensor) -> dict[str, dict[str, float]]:
    """Rows for one size: what is attacked (or random noise), and how far each encoder and each teacher is moved."""
    spreads = {}
    with torch.no_grad():
        for name, (student, _) in names.items():
            spreads[name] = student(x).transpose(0, 1).flatten(1).std(1).view(1, -1, 1, 1)
    noise = to_budget(torch.randn(x.shape, generator=torch.Generator().manual_seed(1)))
    moved = {"random noise": noise}
    for chosen in [[name] for name in names] + ([list(names)] if len(names) > 1 else []):
        moved["+".join(chosen)] = ascent([names[n][0] for n in chosen], x, [spreads[n] for n in chosen])
    rows: dict[str, dict[str, float]] = {}
    for attacked, delta in moved.items():
        y = on_grid(x, delta)
        for countermeasure, apply in COUNTERMEASURES.items():
            before, after = apply(x), apply(y)
            row = {}
            for name, (student, wanted) in names.items():
                row[name] = shift(student, before, after)
                row[f"{name}'s teacher"] = shift(wanted, before, after)
            rows[f"{attacked}, {countermeasure}"] = row
    for name, (student, wanted) in names.items():
        rows[f"error of {name}"] = {
            kind: disagreement(student, wanted, on_grid(x, delta)) for kind, delta in [("clean", 0 * x), *moved.items()]
        }
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoders", type=Path, default=CACHE, help="folder that encoder.py wrote into")
    parser.add_argument("--teachers", type=Path, default=DEFAULT_DATA.parent.parent / "weights")
    parser.add_argument("--pictures", type=Path, default=DEFAULT_DATA.parent / "eval" / "objects")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512])
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    names: dict[str, tuple[Encode, Encode]] = {}
    for name in ("flux2", "sd1"):
        file = averaged_encoder(args.encoders, name)
        if file.is_file():
            encoder, mean, std = trained_encoder(file, name)
            network = teacher(name, args.teachers)
            centre, scale = mean.view(1, -1, 1, 1), std.view(1, -1, 1, 1)
            names[name] = (
                lambda x, encoder=encoder: latents(encoder, x),
                lambda x, network=network, centre=centre, scale=scale: (network(x) - centre) / scale,
            )
    found = {}
    for size in args.sizes:
        found[str(size)] = rows = figures(names, pictures(args.pictures, size, args.count))
        for row, values in rows.items():
            print(f"{size:4d}  {row:<32}" + "  ".join(f"{n} {v:.3f}" for n, v in values.items()), flush=True)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
