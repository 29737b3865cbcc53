"""Train the embedded model's U-Net and text encoder together, on cached latents of the teacher TAEF2.

    python training/base.py --minutes 600                  # to resume, run the same command again
    python training/base.py --minutes 600 --from src/unlearnable/models/embedded      # start from the model that ships

The latents are the teacher's own, with mean 0 and variance 1 in each channel, so that the U-Net fits the trained
encoder and the teacher alike, and need not wait for the encoder.

Loss: squared error of v with min-SNR weighting (Hang et al. 2023, arXiv 2303.09556, gamma = 5), 10 % empty captions.
`python training/export.py` then makes the folder users load, also while this runs.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from diffusers.training_utils import compute_snr
from safetensors.torch import load_file
from transformers import CLIPTextModel, CLIPTokenizer

from common import Figures, averaged_encoder, normal, pick_device, write_atomically
from data import captions, data_folder, every_caption, load
from latents import cached, encode
from loop import Loop, parse, parser
from networks import Shape, build_scheduler, build_text_encoder, build_unet
from teachers import Normalised, teacher
from vocabulary import build_tokenizer


@dataclass(frozen=True)
class Settings:
    """How the U-Net and the text encoder are trained; `copies` is how many versions of each picture are cached."""

    batch: int = 32
    peak_rate: float = 7e-4
    gamma: float = 5.0
    caption_dropout: float = 0.1
    copies: int = 2


def stratified_timesteps(count: int, total: int, rng: torch.Generator) -> torch.Tensor:
    """`count` timesteps, one from each equal slice of 0..total-1, in random order; each is uniform by itself."""
    places = (torch.arange(count) + torch.rand(count, generator=rng)) / count
    return (places * total).long().clamp_(max=total - 1)[torch.randperm(count, generator=rng)]


def loss_of(
    networks: "Networks", gamma: float, z: torch.Tensor, noise: torch.Tensor, t: torch.Tensor, ids: torch.Tensor
) -> tuple[torch.Tensor, Figures]:
    """The weighted v loss of latents `z` [b, c, h, w] at timesteps `t` with token `ids` [b, 77]; and its parts."""
    scheduler = networks.scheduler
    noisy, target = scheduler.add_noise(z, noise, t), scheduler.get_velocity(z, noise, t)
    text = networks.text_encoder(ids).last_hidden_state
    out = networks.unet(noisy, t, text).sample.float()
    errors = (out - target).square().mean((1, 2, 3))
    snr = compute_snr(scheduler, t)
    loss = (errors * snr.clamp(max=gamma) / (snr + 1)).mean()
    return loss, {"loss": loss.detach(), "v": errors.detach().mean()}


@dataclass
class Networks:
    """What is trained together, and the schedule and tokenizer it is trained with."""

    unet: UNet2DConditionModel
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    scheduler: DDIMScheduler

    def modules(self) -> dict[str, torch.nn.Module]:
        return {"unet": self.unet, "text_encoder": self.text_encoder}


def build(labels: list[str], shape: Shape, start: Path | None) -> Networks:
    """New networks of this shape, with a vocabulary for the labels; or those of a model's folder, with its own."""
    tokenizer = CLIPTokenizer.from_pretrained(start / "tokenizer") if start else build_tokenizer(labels)
    networks = Networks(build_unet(shape), build_text_encoder(shape, tokenizer), tokenizer, build_scheduler())
    if start:
        for name, module in networks.modules().items():
            kept = type(module).from_pretrained(start / name, torch_dtype=torch.float32)
            module.load_state_dict(kept.state_dict())
    return networks


def token_ids(tokenizer: CLIPTokenizer, texts: list[str]) -> torch.Tensor:
    """Token numbers [b, 77], padded as the Stable Diffusion pipeline pads them."""
    length = tokenizer.model_max_length
    return tokenizer(texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt").input_ids


@torch.no_grad()
def held_out_error(networks: Networks, z: torch.Tensor, labels: list[str]) -> float:
    """Mean squared error of v on latents [n, c, h, w] nobody trains on, with times and noise that never change."""
    rng, device = torch.Generator().manual_seed(0), networks.unet.device
    t = stratified_timesteps(len(z), networks.scheduler.config.num_train_timesteps, rng)
    noise = torch.randn(z.shape, generator=rng)
    ids = token_ids(networks.tokenizer, [every_caption(label)[0] for label in labels])
    parts = zip(*(part.to(device).split(16) for part in (z, noise, t, ids)))
    return sum(loss_of(networks, 5.0, *part)[1]["v"].item() * len(part[0]) for part in parts) / len(z)


def save_average(networks: Networks, folder: Path, minutes: float, step: int) -> None:
    """Write the (averaged) weights and the tokenizer, for `export.py`."""
    tensors = {f"{n}/{k}": v.clone() for n, m in networks.modules().items() for k, v in m.state_dict().items()}
    networks.tokenizer.save_pretrained(folder / "tokenizer")
    write_atomically(tensors, folder / "base_average.safetensors", {"minutes": f"{minutes:.1f}", "step": str(step)})


def taught(args: argparse.Namespace, folder: Path) -> Normalised:
    """The teacher, normalised as the trained encoder's latents are."""
    tensors = load_file(args.encoder or averaged_encoder(args.out, "flux2"))
    network = teacher("flux2", args.teachers or folder.parent.parent / "weights")
    return Normalised(network, tensors["mean"].float(), tensors["std"].float())


def train(args: argparse.Namespace, s: Settings, shape: Shape) -> None:
    """Train until the budget is used up; the averaged weights are written with every checkpoint."""
    device, out, folder = pick_device(args.device), args.out, data_folder(args.data)
    pictures, encoder = load(folder, "train"), taught(args, folder)
    latents = torch.stack(cached(out, encoder, pictures, s.copies, device)).to(device)
    held = load(folder, "held-out", 128)
    held_latents = encode(encoder, held, 0, device).float()
    torch.manual_seed(args.seed)
    networks = build(pictures.labels, shape, args.start)
    networks.scheduler.alphas_cumprod = networks.scheduler.alphas_cumprod.to(device)
    texts = ["", *{text: None for label in pictures.labels for text in every_caption(label)}]
    ids = dict(zip(texts, token_ids(networks.tokenizer, texts)))
    if device.type == "cpu":
        networks.unet.set_attn_processor(AttnProcessor())  # the fused one's way back takes longer there
    if args.compile:
        networks.unet.compile(dynamic=False)

    def draw(rng: torch.Generator, done: float) -> tuple[torch.Tensor, ...]:
        chosen = torch.randint(0, len(pictures), (s.batch,), generator=rng)
        copies = torch.randint(0, s.copies, (s.batch,), generator=rng)
        texts = captions([pictures.labels[i] for i in chosen.tolist()], rng, s.caption_dropout)
        noise = normal((s.batch, *latents.shape[2:]), rng, device)
        t = stratified_timesteps(s.batch, networks.scheduler.config.num_train_timesteps, rng)
        return latents[copies, chosen].float(), noise, t, torch.stack([ids[text] for text in texts])

    def loss(*batch: torch.Tensor) -> tuple[torch.Tensor, Figures]:
        return loss_of(networks, s.gamma, *batch)

    def write() -> None:
        save_average(networks, out, loop.clock.elapsed, loop.clock.step)

    def check() -> dict[str, float]:
        return {"held-out v": round(held_out_error(networks, held_latents, held.labels), 4)}

    loop = Loop(networks.modules(), loss, out / "base.safetensors", args, s.peak_rate)
    loop.run(draw, write, every=500, check=check)
    print("now run `python training/export.py`")


def main() -> None:
    """Command line."""
    options = parser(__doc__)
    options.add_argument("--batch", type=int, default=Settings.batch)
    options.add_argument("--rate", type=float, default=Settings.peak_rate, help="the highest learning rate")
    options.add_argument("--compile", action="store_true", help="compile the U-Net (needs a C++ compiler)")
    options.add_argument("--copies", type=int, default=Settings.copies, help="versions of each picture to encode")
    options.add_argument("--from", dest="start", type=Path, help="folder of a model to start from, as export.py writes")
    options.add_argument("--teachers", type=Path, help="folder of the teachers' weights")
    options.add_argument("--encoder", type=Path, help="the averaged encoder (in --out, else in training/weights)")
    args = parse(options)
    train(args, Settings(batch=args.batch, copies=args.copies, peak_rate=args.rate), Shape())


if __name__ == "__main__":
    main()
