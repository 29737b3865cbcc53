"""Train the embedded model's U-Net and text encoder together, on cached latents of the exported autoencoder.

    python training/base.py --minutes 50                   # to resume, run the same command again
    python training/base.py --minutes 50 --from embedded   # start from the weights that ship (its autoencoder as well)

Loss: squared error of v with min-SNR weighting (Hang et al. 2023, arXiv 2303.09556, gamma = 5), 10 % empty captions.
`python training/export.py` then makes the folder users load, also while this runs.
"""

import argparse
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.training_utils import EMAModel, compute_snr
from transformers import CLIPTextModel, CLIPTokenizer

from common import (
    CACHE,
    EMBEDDED,
    Clock,
    autocast,
    learning_rate,
    load_checkpoint,
    mean_gradients,
    pick_device,
    save_checkpoint,
    set_threads,
    step_rng,
    write_atomically,
)
from data import captions, data_folder, load
from latents import cached
from networks import Shape, build_scheduler, build_text_encoder, build_unet
from vocabulary import build_tokenizer


@dataclass(frozen=True)
class Settings:
    """How the U-Net and the text encoder are trained; `copies` is how many versions of each picture are cached."""

    batch: int = 16
    peak_rate: float = 7e-4
    gamma: float = 5.0
    caption_dropout: float = 0.1
    ema_decay: float = 0.998
    copies: int = 2
    seed: int = 0


def stratified_timesteps(count: int, total: int, rng: torch.Generator) -> torch.Tensor:
    """`count` timesteps, one from each equal slice of 0..total-1, in random order; each is uniform by itself."""
    places = (torch.arange(count) + torch.rand(count, generator=rng)) / count
    return (places * total).long().clamp_(max=total - 1)[torch.randperm(count, generator=rng)]


def loss_of(
    networks: "Networks", gamma: float, z: torch.Tensor, noise: torch.Tensor, t: torch.Tensor, ids: torch.Tensor
) -> tuple[torch.Tensor, dict[str, float]]:
    """The weighted v loss of latents `z` [b, 4, h, w] at timesteps `t` with token `ids` [b, 77]; and its parts."""
    scheduler = networks.scheduler
    noisy, target = scheduler.add_noise(z, noise, t), scheduler.get_velocity(z, noise, t)
    text = networks.text_encoder(ids).last_hidden_state
    out = networks.unet(noisy, t, text).sample.float()
    errors = (out - target).square().mean((1, 2, 3))
    snr = compute_snr(scheduler, t)
    loss = (errors * snr.clamp(max=gamma) / (snr + 1)).mean()
    return loss, {"loss": loss.item(), "v": errors.mean().item()}


@dataclass
class Networks:
    """What is trained together, and the schedule and tokenizer it is trained with."""

    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    scheduler: DDIMScheduler

    def modules(self) -> dict[str, torch.nn.Module]:
        return {"unet": self.unet, "text_encoder": self.text_encoder}

    def parameters(self) -> list[torch.nn.Parameter]:
        return [p for module in self.modules().values() for p in module.parameters()]


def build(labels: list[str], shape: Shape, start: Path | None) -> Networks:
    """New networks of this shape, or those of an exported folder."""
    if start is not None:
        return Networks(
            UNet2DConditionModel.from_pretrained(start / "unet").float(),
            CLIPTextModel.from_pretrained(start / "text_encoder").float(),
            CLIPTokenizer.from_pretrained(start / "tokenizer"),
            DDIMScheduler.from_pretrained(start / "scheduler"),
        )
    tokenizer = build_tokenizer(labels)
    return Networks(build_unet(shape), build_text_encoder(shape, tokenizer), tokenizer, build_scheduler())


def token_ids(tokenizer: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    """Token numbers [b, 77], padded as the Stable Diffusion pipeline pads them."""
    length = tokenizer.model_max_length
    return tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt").input_ids


def save_average(networks: Networks, ema: EMAModel, folder: Path, minutes: float, step: int) -> None:
    """Write the averaged weights and the tokenizer, for `export.py`."""
    ema.store(networks.parameters())
    ema.copy_to(networks.parameters())
    tensors = {f"{n}/{k}": v.clone() for n, m in networks.modules().items() for k, v in m.state_dict().items()}
    ema.restore(networks.parameters())
    networks.tokenizer.save_pretrained(folder / "tokenizer")
    write_atomically(tensors, folder / "base_average.safetensors", {"minutes": f"{minutes:.1f}", "step": str(step)})


def train(args: argparse.Namespace, s: Settings, shape: Shape) -> None:
    """Train until the budget is used up; checkpoint every minute."""
    device, out = pick_device(args.device), args.out
    shards = set_threads(device, args.shards)
    start = EMBEDDED if args.start == "embedded" else Path(args.start) if args.start else None
    pictures = load(data_folder(args.data), "train")
    latents = cached(out / "latents.safetensors", (start or out) / "vae", pictures, s.copies, device, shards)
    if start is not None and not (out / "vae").exists():
        shutil.copytree(start / "vae", out / "vae")
    torch.manual_seed(s.seed)
    networks = build(pictures.labels, shape, start)
    for module in networks.modules().values():
        module.to(device).train()
    networks.scheduler.alphas_cumprod = networks.scheduler.alphas_cumprod.to(device)
    parameters = networks.parameters()
    optimizer = torch.optim.AdamW(parameters, s.peak_rate, betas=(0.9, 0.99), weight_decay=1e-3, fused=True)
    ema = EMAModel(parameters, decay=s.ema_decay, foreach=True)
    tensors = {"shadow": ema.shadow_params}
    progress = load_checkpoint(out / "base.safetensors", networks.modules(), optimizer, tensors)
    clock = Clock(args.steps, args.minutes, progress.get("step", 0), progress.get("minutes", 0.0))
    ema.optimization_step = first = clock.step
    saved = logged = time.monotonic()
    print(f"{sum(p.numel() for p in parameters) / 1e6:.2f} M parameters, {tuple(latents.shape)}, {s}", flush=True)

    def loss(*batch: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        with autocast(device):
            return loss_of(networks, s.gamma, *batch)

    def checkpoint_now() -> None:
        now = {"step": clock.step, "minutes": clock.elapsed}
        save_checkpoint(out / "base.safetensors", networks.modules(), optimizer, tensors, now)
        save_average(networks, ema, out, clock.elapsed, clock.step)

    recent: list[dict[str, float]] = []
    while clock.done < 1:
        rng = step_rng(s.seed, clock.step)
        chosen = torch.randint(0, len(pictures), (s.batch,), generator=rng)
        copies = torch.randint(0, s.copies, (s.batch,), generator=rng)
        texts = captions([pictures.labels[i] for i in chosen.tolist()], rng, s.caption_dropout)
        noise = torch.randn((s.batch, *latents.shape[2:]), generator=rng)
        t = stratified_timesteps(s.batch, networks.scheduler.config.num_train_timesteps, rng)
        batch = (latents[copies, chosen].float(), noise, t, token_ids(networks.tokenizer, texts))
        recent.append(mean_gradients(loss, parameters, tuple(part.to(device) for part in batch), shards))
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(s.peak_rate, clock.done, clock.step)
        optimizer.step()
        ema.step(parameters)
        clock.step += 1
        if time.monotonic() - logged > 15:
            means = {name: round(sum(row[name] for row in recent) / len(recent), 4) for name in recent[0]}
            logged, recent = time.monotonic(), []
            print(clock.line(s.batch, first), means, flush=True)
        if time.monotonic() - saved > 60:
            checkpoint_now()
            saved = time.monotonic()
    checkpoint_now()
    print(f"{clock.line(s.batch, first)}; now run `python training/export.py`", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of the tables (default $UNLEARNABLE_DATA or ../shared/data/train)")
    parser.add_argument("--out", type=Path, default=CACHE)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--shards", type=int, help="CPU threads with a share of the batch each (default: one a core)")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--batch", type=int, default=Settings.batch)
    parser.add_argument("--copies", type=int, default=Settings.copies, help="versions of each picture to encode")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--from", dest="start", help="start from a model folder; `embedded` is the one that ships")
    args = parser.parse_args()
    if args.steps is None and args.minutes is None:
        parser.error("give a budget: --steps N or --minutes N")
    train(args, Settings(batch=args.batch, copies=args.copies, seed=args.seed), Shape())


if __name__ == "__main__":
    main()
