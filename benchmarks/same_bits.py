"""Whether a change of the code changed any file that it writes: every method's and countermeasure's, as digests.

    python benchmarks/same_bits.py before.json          # on the code as it was
    python benchmarks/same_bits.py after.json --than before.json

Two small pictures, one of them with a mask and an alpha channel, few steps. Digests hold for one machine and one number
of threads: write both files on the same.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from PIL import Image

import unlearnable
from unlearnable import registry

SIZES = {"a.png": (96, 80), "b.jpg": (72, 104), "c.png": (64, 64)}
CHAINS = ("jpeg:75", "resize:0.5+jpeg:75", "blur:1", "noise:8", "diffpure", "vae", "upscale", "gridpure", "impress")


def pictures(folder: Path) -> None:
    """A gradient with noise for each size; the third has transparent corners, and the second a mask."""
    folder.mkdir(parents=True)
    for i, (name, (width, height)) in enumerate(SIZES.items()):
        rng = np.random.default_rng(i)
        ramp = np.linspace(40, 210, width)[None, :, None] * np.array([1, 0.8, 0.6 + 0.1 * i])
        pixels = (ramp + rng.normal(0, 12, (height, width, 3))).clip(0, 255).astype(np.uint8)
        image = Image.fromarray(pixels)
        if name == "c.png":
            alpha = np.full((height, width), 255, np.uint8)
            alpha[:16, :16] = 0
            image.putalpha(Image.fromarray(alpha))
        image.save(folder / name)


def digests(out: Path) -> dict[str, str]:
    """The digest of each file below a folder; the journal has times in it and is left out."""
    files = sorted(p for p in out.rglob("*") if p.is_file() and ".jsonl" not in p.name and ".lock" not in p.name)
    return {p.relative_to(out).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()[:16] for p in files}


def runs(folder: Path, out: Path, quick: bool) -> dict[str, str]:
    """What every method and every countermeasure writes, by name and file."""
    found: dict[str, str] = {}
    recipes = {name: {"method": name, "steps": 1} for name in registry.names()}
    if not quick:
        recipes |= {f"{name}, paper": {"method": name, "steps": 1, "strength": "paper"} for name in registry.names()}
    recipes |= {
        "psnr": {"method": "advdm", "steps": 3, "psnr": 36.1},
        "perceptual": {"method": "advdm", "steps": 3, "perceptual": 0.2},
        "group": {"method": "aspl", "steps": 1, "group": "folder"},
        "scratch": {"method": "eudp", "surrogate": "scratch", "options": "rounds=2,train=2,warmup=2,learn=2"},
        "options": {"method": "ldu", "steps": 2, "options": "k=2,t_start=0.5,surrogate=token"},
    }
    for name, fields in recipes.items():
        print(name, file=sys.stderr, flush=True)
        recipe = unlearnable.Recipe(**fields)
        for result in unlearnable.protect(folder, out / name, recipe):
            if result.status != "protected":
                found[f"{name}/{Path(result.source).name}"] = f"{result.status}: {result.message}"
        found |= {f"{name}/{path}": digest for path, digest in digests(out / name).items()}
    for chain in CHAINS:
        print(chain, file=sys.stderr, flush=True)
        list(unlearnable.purify(folder, out / f"purify {chain}", chain))
        found |= {f"purify {chain}/{path}": digest for path, digest in digests(out / f"purify {chain}").items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="where the digests go")
    parser.add_argument("--than", type=Path, help="digests to compare with")
    parser.add_argument("--quick", action="store_true", help="leave out the papers' own strengths")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pictures(Path(folder) / "in")
        found = runs(Path(folder) / "in", Path(folder) / "out", args.quick)
    args.file.write_text(json.dumps(found, indent=1) + "\n")
    print(f"{len(found)} files")
    if args.than:
        before = json.loads(args.than.read_text())
        other = sorted(name for name in {*before, *found} if before.get(name) != found.get(name))
        print(f"{len(other)} of {len({*before, *found})} differ", *other, sep="\n")
        sys.exit(bool(other))


if __name__ == "__main__":
    main()
