"""Train a small encoder to answer as a teacher does: `flux2` (TAEF2) or `sd1` (the light encoder of SD 1's latents).

    python training/encoder.py flux2 --minutes 100      # to resume, run the same command again
    python training/encoder.py sd1 --minutes 20

Loss: squared error of the latents of pictures and of their perturbed twins, and of the shift between the two, in units
of each channel's own spread. Batches of small crops and of large ones come in turn, from photographs at their own size
too. Twins are moved by ascent against the student itself, because a protection that is made against it
carries over where it agrees with its teacher *there*; by ascent against the teacher, because a deaf student does not
know what it does not hear; and by noise. A thread makes batches, and each is used a few times (`replay.py`).
"""

import argparse
import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.models.autoencoders.vae import Encoder
from safetensors.torch import load_file
from torch import Tensor, nn

from common import Figures, autocast, normal, pick_device, step_rng, write_atomically
from data import data_folder
from loop import Loop, parse, parser
from photographs import Photographs, batch, held_squares, large_size, photographs
from replay import Replay
from teachers import CHANNELS, Normalised, normalised, teacher

HELD = {128: 16, 256: 6, 512: 2}  # held-out pictures of each size
Encode = Callable[[Tensor], Tensor]
WIDTHS = {"flux2": (24, 48, 96, 128), "sd1": (16, 32, 64, 64)}


@dataclass(frozen=True)
class Settings:
    """Half of the batches are small crops, the others large ones; budgets are in 1/255."""

    small: int = 64
    pixels: int = 8 * 64 * 64  # of a batch, twins included
    smallest: float = 1.0
    largest: float = 8.0
    shift_weight: float = 0.5
    peak_rate: float = 1.5e-3
    weight_decay: float = 1e-4
    ascent: int = 2  # most steps against the student, or its teacher


def build(name: str) -> Encoder:
    """An untrained encoder: the half of a stock AutoencoderKL (without attention) that makes latents."""
    widths = WIDTHS[name]
    down = ("DownEncoderBlock2D",) * len(widths)
    return Encoder(3, CHANNELS[name], down, widths, 1, norm_num_groups=8, mid_block_add_attention=False)


def latents(encoder: nn.Module, x: Tensor) -> Tensor:
    """The posterior's mean ``[b c h/8 w/8]`` of pictures in [0, 1]."""
    return encoder(2 * x - 1).chunk(2, 1)[0].float()


def ascended(encode: Encode, x: Tensor, noise: Tensor, eps: Tensor, steps: int, pace: float = 1.0) -> Tensor:
    """Pictures moved by sign ascent on the distance of their latents from the clean, by at most `eps` [b 1 1 1].

    Each step moves a pixel by `pace` of `eps`.
    """
    with torch.no_grad():
        clean = encode(x)
    start = (x + eps / 2 * noise.sign()).clamp(0, 1)
    for _ in range(steps):
        start.requires_grad_(True)
        distance = (encode(start) - clean).square().sum()
        (gradient,) = torch.autograd.grad(distance, start)
        start = (start + pace * eps * gradient.sign()).detach()
        start = torch.min(torch.max(start, x - eps), x + eps).clamp(0, 1)
    return start


def perturbed(student: Encode, wanted: Encode, s: Settings, x: Tensor, noise: Tensor, draws: Tensor) -> Tensor:
    """Each picture moved by up to `s.ascent` steps against the student or its teacher, or by noise of that size.

    What moves the teacher and leaves a deaf student as it is, only the teacher can show.
    """
    eps = (s.smallest + (s.largest - s.smallest) * draws[1 : 1 + len(x)]).view(-1, 1, 1, 1) / 255
    steps = 1 + int(draws[0] * 10 % 1 * s.ascent)
    if draws[0] < 0.2:
        moved = (x + eps / 2 * noise).clamp(0, 1)
    else:
        moved = ascended(student if draws[0] < 0.6 else wanted, x, noise, eps, steps, pace=min(1, max(0.25, 2 / steps)))
    return moved.contiguous(memory_format=torch.channels_last)


def pairs(both: Tensor) -> Tensor:
    """Pictures and, after them, their twins ``[2b ...]`` as ``[b 2 ...]``: what is split among threads stays a pair."""
    return torch.stack(both.chunk(2), 1)


def errors(encoder: nn.Module, wanted: Normalised, x: Tensor) -> Tensor:
    """Mean squared error of each picture's latents, in units of the teacher's variance; ``[b]``."""
    with torch.no_grad():
        target = wanted(x)
    return (latents(encoder, x) - target).square().mean((1, 2, 3))


def agreement(
    encoder: nn.Module, wanted: Normalised, pictures: Photographs, sizes: dict[int, int] = HELD
) -> dict[str, float]:
    """Held-out figures: error on clean and moved pictures, and how far the teacher hears what was made on the student.

    The last is `heard`: RMS shift of the teacher's latents after three ascent steps at 4/255 on the student.
    """
    found = {}
    for size, count in sizes.items():
        device = next(encoder.parameters()).device
        x = held_squares(pictures, size, count).to(device)
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(size)).to(device)
        moved = ascended(
            lambda y: latents(encoder, y), x, noise, torch.full((len(x), 1, 1, 1), 4 / 255, device=device), 3
        )
        with torch.no_grad():
            found[f"clean {size}"] = errors(encoder, wanted, x).mean().item()
            found[f"moved {size}"] = errors(encoder, wanted, moved).mean().item()
            if size == min(sizes):
                found["heard"] = (wanted(moved) - wanted(x)).square().mean().sqrt().item()
    return {name: round(value, 4) for name, value in found.items()}


def known(network: nn.Module, file: Path) -> Normalised | None:
    """The teacher, normalised as it was when these averaged weights were written; None where there are none."""
    if not file.is_file():
        return None
    tensors = load_file(file)
    return Normalised(network, tensors["mean"].float(), tensors["std"].float())


def measured(network: nn.Module, pictures: Photographs) -> Normalised:
    """The teacher, with each channel's mean and spread over some training pictures taken out."""
    rng = torch.Generator().manual_seed(0)
    sample = [batch(pictures, 128, 8, rng) for _ in range(16)] + [batch(pictures, 256, 1, rng) for _ in range(32)]
    return normalised(network, sample)


def train(args: argparse.Namespace, s: Settings) -> None:
    """Train until the budget is used up; the averaged weights are written with every checkpoint."""
    folder = data_folder(args.data)
    pictures, held = photographs(folder, "train").to(pick_device(args.device)), photographs(folder, "held-out")
    average = args.out / f"encoder-{args.name}-average.safetensors"
    network = teacher(args.name, args.teachers or folder.parent.parent / "weights").to(pick_device(args.device))
    wanted = known(network, args.start or average) or measured(network, pictures)
    torch.manual_seed(args.seed)
    encoder = build(args.name).to(memory_format=torch.channels_last)
    if args.start:
        encoder.load_state_dict({k: v.float() for k, v in load_file(args.start).items() if k not in ("mean", "std")})

    apprentice = copy.deepcopy(encoder).requires_grad_(False)

    def make(number: int) -> tuple[Tensor, Tensor]:
        rng = step_rng(args.seed, number)
        if number % 25 == 0:
            apprentice.load_state_dict(encoder.state_dict())
        size = s.small if float(torch.rand((), generator=rng)) < 0.5 else large_size(rng)
        x = batch(pictures, size, max(1, s.pixels // size**2 // 2), rng)
        noise, draws = normal(x.shape, rng, loop.device), torch.rand(1 + len(x), generator=rng)
        with autocast(loop.device):
            moved = perturbed(lambda y: latents(apprentice, y), wanted, s, x, noise, draws.to(loop.device))
            both = (torch.cat([x, moved]) * 255).round()
            with torch.no_grad():
                return pairs(both.to(torch.uint8)), pairs(wanted(both / 255).half())

    def draw(rng: torch.Generator, done: float) -> tuple[Tensor, ...]:
        x, target = replay.draw(int(torch.randint(2**31, (), generator=rng)))
        return x.float() / 255, target.float()

    def loss(x: Tensor, target: Tensor) -> tuple[Tensor, Figures]:
        both = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        clean, moved = (latents(encoder, both).unflatten(0, (-1, 2)) - target).unbind(1)
        parts = {
            "clean": clean.square().mean(),
            "moved": moved.square().mean(),
            "shift": (moved - clean).square().mean(),
        }
        total = (parts["clean"] + parts["moved"]) / 2 + s.shift_weight * parts["shift"]
        return total, {name: value.detach() for name, value in parts.items()} | {"made": torch.tensor(replay.made)}

    file = args.out / f"encoder-{args.name}.safetensors"

    def write() -> None:
        tensors = {k: v.clone() for k, v in encoder.state_dict().items()}
        tensors |= {"mean": wanted.mean.flatten().clone(), "std": wanted.std.flatten().clone()}
        notes = {"step": str(loop.clock.step), "minutes": f"{loop.clock.elapsed:.1f}", "teacher": args.name}
        write_atomically(tensors, average, notes)

    loop = Loop({"encoder": encoder}, loss, file, args, s.peak_rate, s.weight_decay)
    wanted.to(loop.device), apprentice.to(loop.device)
    replay = Replay(make, args.uses).start(loop.clock.step)
    loop.run(draw, write, every=args.check, check=lambda: agreement(encoder, wanted, held))
    replay.stop()


def main() -> None:
    """Command line."""
    options = parser(__doc__)
    options.add_argument("name", choices=sorted(CHANNELS), help="whose latents the encoder learns")
    options.add_argument("--teachers", type=Path, help="folder of the teachers' weights")
    options.add_argument("--from", dest="start", type=Path, help="start from averaged weights that were written before")
    options.add_argument("--uses", type=float, default=4.0, help="how often each batch is used, in the mean")
    options.add_argument("--check", type=int, default=400, help="steps between two measurements on held-out pictures")
    options.add_argument("--pixels", type=int, default=Settings.pixels, help="pixels of a batch, twins included")
    options.add_argument("--rate", type=float, default=Settings.peak_rate, help="the highest learning rate")
    options.add_argument("--ascent", type=int, default=Settings.ascent, help="most ascent steps that move a picture")
    args = parse(options)
    train(args, Settings(pixels=args.pixels, peak_rate=args.rate, ascent=args.ascent))


if __name__ == "__main__":
    main()
