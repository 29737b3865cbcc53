"""Assemble the folder users load (Stable Diffusion's layout, fp16 safetensors) from what training left in the cache.

The feature network and the encoders go into their folders `features` and `encoders`, which diffusers does not look at.
The shortcut and rho belonged to the model that was there before, and are left out: train them anew.

python training/export.py                        # the cache -> src/unlearnable/models/embedded
python training/export.py --to some/folder
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTokenizer

from autoencoder import joined
from common import CACHE, EMBEDDED, write_atomically
from networks import Shape, build_scheduler, build_text_encoder, build_unet
from teachers import CHANNELS

LIMIT_MB = 60


def read_average(file: Path) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, str]]:
    """The averaged weights `base.py` wrote, by network, and their metadata (step, minutes)."""
    weights: dict[str, dict[str, torch.Tensor]] = {}
    with safe_open(file, "pt") as opened:
        for name in opened.keys():  # noqa: SIM118 - not a dict
            network, key = name.split("/", 1)
            weights.setdefault(network, {})[key] = opened.get_tensor(name)
        return weights, opened.metadata()


def assemble(
    vae: AutoencoderKL, unet: UNet2DConditionModel, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer, to: Path
) -> None:
    """Write the five parts and model_index.json, all or nothing; model card and feature network are kept."""
    tokenizer.backend_tokenizer.no_padding()  # whatever the last call left there would be written too
    tokenizer.backend_tokenizer.no_truncation()
    pipeline = StableDiffusionPipeline(
        vae=vae.half().eval(),
        unet=unet.half().eval(),
        text_encoder=text_encoder.half().eval(),
        tokenizer=tokenizer,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    part, old = to.with_name(to.name + ".part"), to.with_name(to.name + ".old")
    for folder in (part, old):
        shutil.rmtree(folder, ignore_errors=True)
    pipeline.save_pretrained(part)
    upcast(part / "text_encoder" / "config.json")
    for file in part.glob("*/config.json"):  # diffusers notes where it loaded from: a path of this machine
        config = json.loads(file.read_text())
        config.pop("_name_or_path", None)
        file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    for file in part.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)
    for kept in ("MODEL_CARD.md", "features", "encoders", "patterns"):
        if (to / kept).is_dir():
            shutil.copytree(to / kept, part / kept)
        elif (to / kept).is_file():
            shutil.copy(to / kept, part)
    if to.exists():
        to.rename(old)
    part.rename(to)
    shutil.rmtree(old, ignore_errors=True)


def write_encoders(cache: Path, to: Path) -> None:
    """The stand-ins of real encoders, in fp16, without their teachers' statistics; those that were trained."""
    for name in CHANNELS:
        file = cache / f"encoder-{name}-average.safetensors"
        if file.is_file():
            tensors = {k: v.half() for k, v in load_file(file).items() if k not in ("mean", "std")}
            write_atomically(tensors, to / f"{name}.safetensors", {"teacher": name})


def upcast(config: Path) -> None:
    """Let a stock load give float32, as it does for the other parts: transformers takes the type that is noted here."""
    settings = json.loads(config.read_text())
    config.write_text(json.dumps(settings | {"dtype": "float32"}, indent=2, sort_keys=True) + "\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--to", type=Path, default=EMBEDDED)
    args = parser.parse_args()
    weights, metadata = read_average(args.cache / "base_average.safetensors")
    tokenizer = CLIPTokenizer.from_pretrained(args.cache / "tokenizer")
    unet, text_encoder = build_unet(Shape()), build_text_encoder(Shape(), tokenizer)
    unet.load_state_dict(weights["unet"])
    text_encoder.load_state_dict(weights["text_encoder"])
    vae = joined(args.cache / "encoder-flux2-average.safetensors", args.cache / "decoder-average.safetensors")
    assemble(vae, unet, text_encoder, tokenizer, args.to)
    write_encoders(args.cache, args.to / "encoders")
    if (args.cache / "features").is_dir():
        shutil.copytree(args.cache / "features", args.to / "features", dirs_exist_ok=True)
    size = sum(file.stat().st_size for file in args.to.rglob("*") if file.is_file()) / 1e6
    print(f"{args.to}: {size:.1f} MB (limit {LIMIT_MB}), U-Net at step {metadata['step']}")


if __name__ == "__main__":
    main()
