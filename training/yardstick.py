"""Does the model tell protections apart: what attackers learn from protected pictures, by two autoencoders.

    python training/yardstick.py                     # the model that ships; to resume, run the same command again
    python training/yardstick.py --model FOLDER --encoder FILE

Each method protects half of a subject's photographs at 36.1 dB on the model itself. Attackers then train on them,
once with the model's own autoencoder and once with TAEF2, the teacher, in its place (the same latents, so it drops in).
The rate is the share of what an attacker learns from clean pictures that it does not learn from protected ones,
judged by the loss of those clean pictures, and by that of the other half: 0 is no protection, 1 full protection. Over
several subjects it is the ratio of the sums.
"""

import argparse
import json
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from statistics import mean
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from common import CACHE, EMBEDDED, averaged_encoder
from data import DEFAULT_DATA
from personalised import EVAL, photographs, prompt_of
from teachers import Normalised, taef2_decoder, teacher
from unlearnable import load_model, registry
from unlearnable.models.base import Model
from unlearnable.models.finetune.training import fixed_losses
from unlearnable.purification.chain import Chain, parse
from unlearnable.recipe import Recipe

METHODS = ("random", "desaturate", "advdm", "photoguard", "mist", "ldu", "encoders")
SUBJECTS = ("backpack", "can", "cat", "dog6", "duck_toy", "red_cartoon", "styles/vangogh", "styles/Rococo_canaletto")
ATTACKERS = ("lora", "dreambooth")
PSNR = 36.1
MOST_STEPS = 400


class Teacher(nn.Module):
    """TAEF2 with the face of an AutoencoderKL: pictures and latents as the model's own autoencoder has them."""

    def __init__(self, encoder: Normalised, decoder: nn.Module, config: Any) -> None:
        super().__init__()
        self.encoder, self.decoder, self.config = encoder, decoder, config

    def encode(self, x: Tensor) -> SimpleNamespace:
        mean = self.encoder((x + 1) / 2)
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=mean, mode=lambda: mean, sample=lambda *_: mean))

    def decode(self, z: Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=2 * self.decoder(z * self.encoder.std + self.encoder.mean) - 1)


def with_teacher(folder: str, encoder: Path, teachers: Path) -> Model:
    """The model with TAEF2 in its autoencoder's place; `encoder` holds the mean and spread of the latents."""
    model, tensors = load_model(folder, device="cpu", dtype="float32"), load_file(encoder)
    network = Normalised(teacher("flux2", teachers), tensors["mean"].float(), tensors["std"].float())
    decoder = taef2_decoder(teachers / "taef2_decoder_fp16.safetensors")
    own: Any = model
    own.vae = own.pipe.vae = Teacher(network, decoder, own.vae.config)
    return model


def protected(model: Model, method: str, x: Tensor, prompt: str) -> Tensor:
    """Pictures ``[n 3 h w]`` at 36.1 dB, on the 8-bit grid as files hold them."""
    settings = Recipe(method=method, psnr=PSNR, prompt=prompt).protection()
    moved = settings(model, x, prompt=prompt)
    sealed = [settings.constraint.seal((a * 255).round(), (b - a) * 255) for a, b in zip(x, moved)]
    return ((x * 255).round() + torch.stack(sealed)) / 255


@dataclass(frozen=True)
class Plan:
    """Which methods, behind which countermeasure, face which attackers, of how many steps at most."""

    methods: tuple[str, ...] = METHODS
    attackers: tuple[str, ...] = ATTACKERS
    steps: int = MOST_STEPS
    purify: Chain = field(default_factory=Chain)

    def condition(self, method: str) -> str:
        """A method's name in the rows."""
        return f"{method} behind {self.purify.name}" if self.purify.links else method


def losses(model: Model, judges: dict[str, Tensor], prompt: str) -> dict[str, list[float]]:
    """The losses of a subject's clean pictures, for the attacker's `own` and the `held-out` ones."""
    return {judge: fixed_losses(model, pictures, prompt).tolist() for judge, pictures in judges.items()}


def trials(models: dict[str, Model], name: str, photos: Tensor, rows: dict[str, Any], write: Any, plan: Plan) -> None:
    """Fill `rows` with the losses of one subject's clean pictures under each attacker; what is there is kept."""
    prompt, x = prompt_of(name), photos[0::2]
    pictures, judges = {"clean": x}, {"own": x, "held-out": photos[1::2]}
    for method in ("clean", *plan.methods):
        condition = "clean" if method == "clean" else plan.condition(method)
        keys = [f"{name}, {condition}, {attack}, {vae}" for attack in plan.attackers for vae in models]
        if all(key in rows for key in keys):
            continue
        if condition not in pictures:
            moved = protected(models["own"], method, x, prompt.replace("sks ", ""))
            pictures = {condition: plan.purify(moved)}
        for attack in plan.attackers:
            attacker = registry.load(attack, "attacker").PRESETS["embedded"]
            attacker = replace(attacker, steps=min(attacker.steps, plan.steps))
            for vae, model in models.items():
                key = f"{name}, {condition}, {attack}, {vae}"
                if key in rows:
                    continue
                concept = attacker.fit(model, pictures[condition], prompt, seed=0)
                rows[key] = losses(concept.model, judges, prompt)
                untouched = f"{name}, untouched, {vae}"
                rows[untouched] = rows.get(untouched) or losses(model, judges, prompt.replace("sks ", ""))
                write()


def rates(rows: dict[str, Any], names: list[str], plan: Plan, vae: str, attack: str, judge: str) -> dict[str, float]:
    """The protection rate of each method over the subjects that attackers learn from clean pictures.

    A ratio of sums: the mean of ratios would be won by a subject of which attackers learn hardly anything.
    """
    kept, learned = dict.fromkeys(map(plan.condition, plan.methods), 0.0), 0.0
    for name in names:
        kinds = (f"untouched, {vae}", f"clean, {attack}, {vae}")
        before, clean = (mean(rows[f"{name}, {kind}"][judge]) for kind in kinds)
        if clean < before:
            learned += before - clean
            for condition in kept:
                kept[condition] += mean(rows[f"{name}, {condition}, {attack}, {vae}"][judge]) - clean
    return {condition: value / learned for condition, value in kept.items() if learned}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=EMBEDDED)
    parser.add_argument("--encoder", type=Path, default=averaged_encoder(CACHE, "flux2"))
    parser.add_argument("--teachers", type=Path, default=DEFAULT_DATA.parent.parent / "weights")
    parser.add_argument("--eval", type=Path, default=EVAL)
    parser.add_argument("--subjects", nargs="+", default=list(SUBJECTS))
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--purify", default="none", help="countermeasure of the attackers, e.g. resize:0.5+jpeg:75")
    parser.add_argument("--attackers", nargs="+", default=list(ATTACKERS), choices=ATTACKERS)
    parser.add_argument("--steps", type=int, default=MOST_STEPS, help="most steps of an attacker")
    parser.add_argument("--json", type=Path, default=CACHE / "yardstick.json", help="where rows are kept")
    args = parser.parse_args()
    folder = str(args.model)
    models = {"own": load_model(folder, device="cpu", dtype="float32")}
    models["teacher"] = with_teacher(folder, args.encoder, args.teachers)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    rows: dict[str, Any] = json.loads(args.json.read_text()) if args.json.is_file() else {}

    def write() -> None:
        part = args.json.with_name(args.json.name + ".part")
        part.write_text(json.dumps(rows, indent=0))
        part.replace(args.json)

    plan = Plan(tuple(args.methods), tuple(args.attackers), args.steps, parse(args.purify))
    done: list[str] = []
    for name in args.subjects:
        where = args.eval / (name if name.startswith("styles/") else f"objects/{name}")
        photos = photographs(where, models["own"].size)[:8]
        trials(models, name, photos, rows, write, plan)
        done.append(name)
        print(f"after {name}", flush=True)
        for vae in models:
            for attack, judge in product(plan.attackers, ("own", "held-out")):
                values = rates(rows, done, plan, vae, attack, judge).items()
                print(
                    f"  {vae:8} {attack:11} {judge:9}" + "  ".join(f"{m} {100 * v:5.1f} %" for m, v in values),
                    flush=True,
                )


if __name__ == "__main__":
    main()
