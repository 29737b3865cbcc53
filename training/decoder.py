"""Train the decoder of the embedded autoencoder: latents of the teacher and of the trained encoder, back to pictures.

    python training/decoder.py --minutes 60          # to resume, run the same command again

Loss: L1 + squared error, and on large crops a perceptual distance (SqueezeNet). Three of four steps see small crops,
which compiled code does fastest. The averaged encoder is not changed; its file also holds the mean and the spread of
the teacher's channels.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import Decoder
from safetensors.torch import load_file
from torch import Tensor

from common import Figures, autocast, averaged_encoder, normal, pick_device, write_atomically
from data import data_folder
from encoder import WIDTHS, build, latents
from loop import Loop, parse, parser
from perceptual import SqueezeFeatures, perceptual_distance, weights_file
from photographs import batch, held_squares, large_size, photographs
from teachers import CHANNELS, Normalised, teacher


@dataclass(frozen=True)
class Settings:
    """A step has about `pixels`, in small crops or, in a share of `large`, in large ones.

    Latents are the teacher's in a share of `taught`, else the trained encoder's; `noise` is added to all.
    """

    small: int = 64
    pixels: int = 12 * 64 * 64
    large: float = 0.25
    taught: float = 0.35
    noise: float = 0.03
    peak_rate: float = 1e-3
    squared_weight: float = 2.0
    perceptual_weight: float = 0.1
    weight_decay: float = 1e-4


def build_decoder() -> Decoder:
    """An untrained decoder: the half of a stock AutoencoderKL (without attention) that makes pictures."""
    widths = WIDTHS["flux2"]
    up = ("UpDecoderBlock2D",) * len(widths)
    return Decoder(CHANNELS["flux2"], 3, up, widths, 1, norm_num_groups=8, mid_block_add_attention=False)


def trained_encoder(file: Path, name: str) -> tuple[torch.nn.Module, Tensor, Tensor]:
    """The averaged encoder that `encoder.py` wrote, and the mean and standard deviation of its teacher's channels."""
    tensors = {key: value.float() for key, value in load_file(file).items()}
    mean, std = tensors.pop("mean"), tensors.pop("std")
    encoder = build(name)
    encoder.load_state_dict(tensors)
    return encoder.eval().requires_grad_(False).to(memory_format=torch.channels_last), mean, std


def decoding_loss(
    decoder: torch.nn.Module, features: SqueezeFeatures | None, s: Settings, z: Tensor, x: Tensor
) -> tuple[Tensor, Tensor]:
    """The loss of pictures in [0, 1] decoded from `z`, and their squared error."""
    out = (decoder(z).float() + 1) / 2
    squared = (out - x).square().mean()
    loss = 2 * (out - x).abs().mean() + 4 * s.squared_weight * squared
    if features is not None:
        loss = loss + s.perceptual_weight * perceptual_distance(features, 2 * out - 1, 2 * x - 1)
    return loss, squared.detach()


@torch.no_grad()
def fidelity(decoder: torch.nn.Module, encode: torch.nn.Module, x: Tensor) -> float:
    """Mean PSNR in dB of pictures ``[n 3 h w]`` in [0, 1] after both halves."""
    out = torch.cat([(decoder(encode(part)) + 1) / 2 for part in x.split(4)]).clamp(0, 1)
    return (-10 * torch.log10((out - x).square().mean((1, 2, 3)))).mean().item()


def train(args: argparse.Namespace, s: Settings) -> None:
    """Train until the budget is used up; the averaged weights are written with every checkpoint."""
    folder = data_folder(args.data)
    device = pick_device(args.device)
    pictures, held = photographs(folder, "train").to(device), photographs(folder, "held-out")
    encoder, mean, std = trained_encoder(args.encoder or averaged_encoder(args.out, "flux2"), "flux2")
    wanted = Normalised(teacher("flux2", args.teachers or folder.parent.parent / "weights"), mean, std)
    weights = weights_file(args.squeezenet, folder)
    features = SqueezeFeatures(weights) if weights.is_file() else None
    torch.manual_seed(args.seed)
    decoder = build_decoder().to(memory_format=torch.channels_last)
    for network in (encoder, wanted, features):
        if network is not None:
            network.to(device)
    if args.start:
        kept = AutoencoderKL.from_pretrained(args.start / "vae", torch_dtype=torch.float32)
        decoder.load_state_dict(kept.decoder.state_dict())

    class Student(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return latents(encoder, x)

    fast = torch.compile(decoder, dynamic=False) if args.compile else decoder

    def draw(rng: torch.Generator, done: float) -> tuple[Tensor, ...]:
        large, of_teacher = (bool(torch.rand((), generator=rng) < share) for share in (s.large, s.taught))
        size = large_size(rng) if large else s.small
        x = batch(pictures, size, max(1, s.pixels // size**2), rng, corrupt=False)
        noise = normal((len(x), CHANNELS["flux2"], size // 8, size // 8), rng, device)
        with torch.no_grad(), autocast(device):
            z = (wanted(x) if of_teacher else latents(encoder, x)).float() + s.noise * noise
        return x, z

    def loss(x: Tensor, z: Tensor) -> tuple[Tensor, Figures]:
        small = x.shape[-1] == s.small
        value, squared = decoding_loss(fast if small else decoder, None if small else features, s, z, x)
        return value, {"small" if small else "large": squared}

    def check() -> dict[str, float]:
        found = {}
        for size, count in ((128, 16), (512, 4)):
            x = held_squares(held, size, count).to(device)
            for name, encode in (("own", Student()), ("teacher's", wanted)):
                found[f"PSNR {size}, {name}"] = round(fidelity(decoder, encode, x), 2)
        return found

    def write() -> None:
        notes = {"step": str(loop.clock.step), "minutes": f"{loop.clock.elapsed:.1f}"}
        tensors = {k: v.clone() for k, v in decoder.state_dict().items()}
        write_atomically(tensors, args.out / "decoder-average.safetensors", notes)

    loop = Loop({"decoder": decoder}, loss, args.out / "decoder.safetensors", args, s.peak_rate, s.weight_decay)
    loop.run(draw, write, every=args.check, check=check)


def main() -> None:
    """Command line."""
    options = parser(__doc__)
    options.add_argument("--teachers", type=Path, help="folder of the teachers' weights")
    options.add_argument("--encoder", type=Path, help="the averaged encoder (in --out, else in training/weights)")
    options.add_argument("--squeezenet", type=Path, help="SqueezeNet v1.0 weights, for the perceptual loss")
    options.add_argument("--from", dest="start", type=Path, help="folder of a model to start from, as export.py writes")
    options.add_argument("--compile", action="store_true", help="compile the decoder (needs a C++ compiler)")
    options.add_argument("--check", type=int, default=400, help="steps between two measurements on held-out pictures")
    options.add_argument("--pixels", type=int, default=Settings.pixels, help="pixels of a step")
    options.add_argument("--large", type=float, default=Settings.large, help="share of steps that see large crops")
    args = parse(options)
    train(args, Settings(pixels=args.pixels, large=args.large))


if __name__ == "__main__":
    main()
