"""Measure an exported model; every figure in the model card comes from this one command.

    python training/measure.py --sheets out/training --json training/measured.json
    python training/measure.py --only samples --model FOLDER     # one part, another model

Parts: model, autoencoder, denoiser, samples, text, speed, subjects (the slow one: an attacker for each subject; it
goes on where it was stopped, and keeps what the attackers drew in --drawn, so that another judge needs no new attack).
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline

from common import CACHE, EMBEDDED, pick_device
from data import data_folder, load
from personalised import EVAL, subject_figures
from quality import autoencoder_figures, denoising_figures, model_figures
from samples import sample_figures, text_figures
from sheets import reconstruction_sheet, sample_sheet
from speed import speed_figures


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=EMBEDDED)
    parser.add_argument("--data", help="folder of the tables (default $UNLEARNABLE_DATA or ../shared/data/train)")
    parser.add_argument("--eval", type=Path, default=EVAL, help="folder with objects/NAME/*.jpg and styles/NAME/*.jpg")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="comma-separated parts")
    parser.add_argument("--limit", type=int, help="only this many held-out pictures")
    parser.add_argument("--count", type=int, default=461, help="generated pictures for accuracy and FID")
    parser.add_argument("--drawn", type=Path, default=CACHE / "drawn", help="folder that keeps the attackers' pictures")
    parser.add_argument("--sheets", type=Path, help="also write contact sheets into this folder")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    held = load(data_folder(args.data), "held-out", args.limit)
    pipeline = StableDiffusionPipeline.from_pretrained(args.model, safety_checker=None, torch_dtype=torch.float32)
    pipeline.to(pick_device(args.device)).set_progress_bar_config(disable=True)
    figures = json.loads(args.json.read_text()) if args.json and args.json.is_file() else {}

    def keep(part: str, rows: dict) -> None:
        figures[part] = rows
        if args.json:
            args.json.write_text(json.dumps(figures, indent=1) + "\n")

    parts: dict[str, Callable[[], dict]] = {
        "model": lambda: model_figures(pipeline, args.model, held),
        "autoencoder": lambda: autoencoder_figures(pipeline.vae, held),
        "denoiser": lambda: denoising_figures(pipeline, held, args.seed),
        "samples": lambda: sample_figures(pipeline, held, args.seed, args.count),
        "text": lambda: text_figures(pipeline, args.model, args.seed),
        "speed": lambda: speed_figures(str(args.model), args.device),
        "subjects": lambda: subject_figures(args.model, args.eval, args.seed, args.device, args.drawn, args.sheets),
    }
    if args.sheets:
        args.sheets.mkdir(parents=True, exist_ok=True)
        print(reconstruction_sheet(pipeline.vae, held, args.sheets / "reconstructions.png"))
        print(sample_sheet(pipeline, args.sheets / "samples.png", args.seed))
    for part in args.only.split(",") if args.only else parts:
        if part not in parts:
            parser.error(f"unknown part {part!r}: use some of {', '.join(parts)}")
        rows = parts[part]()
        keep(part, rows)
        print(part)
        for name, value in rows.items():
            print(f"  {name:<66}{f'{value:9.3f}' if isinstance(value, float) else json.dumps(value)}", flush=True)


if __name__ == "__main__":
    main()
