"""Train the embedded model's autoencoder: a small AutoencoderKL, 8 x smaller latents with 4 channels.

    python training/autoencoder.py --minutes 40          # to resume, run the same command again
    python training/autoencoder.py --minutes 40 --from-embedded   # start from the exported weights

Loss: L1 + squared error + perceptual distance (SqueezeNet) + error of large-scale colour + a small KL, on 64 px crops.
The averaged (EMA) weights go to `cache/training/vae` in diffusers' layout, fp16, with latents shifted and scaled to
zero mean and equal variance.
"""

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL

from common import EMBEDDED
from data import Split, data_folder, load, random_crops, to_float
from loop import Loop, parse, parser
from perceptual import SqueezeFeatures, perceptual_distance, weights_file


@dataclass(frozen=True)
class Settings:
    """What is trained and how; widths are per level, from full size down to 1/8.

    After the fraction `whole_from` of the run, whole pictures take the place of crops (as many pixels a step): group
    normalisation sees other statistics in a whole picture, and whole pictures are what the model is used on.
    """

    widths: tuple[int, ...] = (16, 32, 64, 128)
    batch: int = 16
    crop: int = 64
    whole_from: float = 0.7
    peak_rate: float = 8e-4
    squared_weight: float = 2.0
    perceptual_weight: float = 0.1
    colour_weight: float = 2.0
    kl_weight: float = 1e-4
    weight_decay: float = 1e-4


def build(widths: tuple[int, ...]) -> AutoencoderKL:
    """An untrained autoencoder, without attention (it has to work on 512 px pictures as well)."""
    levels = len(widths)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=widths,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=128,
    )


def loss_of(vae: AutoencoderKL, features: SqueezeFeatures | None, s: Settings, x: torch.Tensor, noise: torch.Tensor):
    """The training loss of pictures `x` in [-1, 1] and latent `noise` (a scalar), and its parts for the log."""
    posterior = vae.encode(x).latent_dist
    out = vae.decode(posterior.mean + posterior.std * noise).sample.float()
    absolute, squared = (out - x).abs().mean(), (out - x).square().mean()
    kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
    colour = colour_error(out, x)
    loss = absolute + s.squared_weight * squared + s.kl_weight * kl + s.colour_weight * colour
    parts = {"l1": absolute.item(), "mse": squared.item(), "kl": kl.item(), "colour": colour.item()}
    if features is not None:
        distance = perceptual_distance(features, out, x)
        loss = loss + s.perceptual_weight * distance
        parts["perceptual"] = distance.item()
    return loss, parts


def colour_error(out: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of the colours (each channel less the grey) of 8 px squares.

    A squared error spends all four latent channels on brightness and one axis of colour, since most pictures need no
    more: without this term pink tulips came back orange.
    """
    wanted, found = (F.avg_pool2d(part, 8) for part in (x, out))
    return ((found - found.mean(1, True)) - (wanted - wanted.mean(1, True))).abs().mean()


@torch.no_grad()
def quick_psnr(vae: AutoencoderKL, pictures: torch.Tensor) -> float:
    """Mean PSNR in dB of whole pictures (uint8 [n, 3, 128, 128]), for the log."""
    device = next(vae.parameters()).device
    values = []
    for chunk in pictures.split(8):
        x = to_float(chunk).to(device)
        out = vae.decode(vae.encode(x).latent_dist.mode()).sample.clamp(-1, 1)
        values.append(10 * torch.log10(4 / (out - x).square().mean((1, 2, 3))))
    return torch.cat(values).mean().item()


@torch.no_grad()
def equalise(vae: AutoencoderKL, pictures: torch.Tensor) -> None:
    """Fold shift and scale into the two 1x1 convolutions, so that each latent channel has mean 0 and the same variance.

    Pictures come out as before. `scaling_factor` in the config is set to bring that variance to 1.
    """
    device = next(vae.parameters()).device
    means = [vae.encode(to_float(c).to(device)).latent_dist.mean for c in pictures.split(16)]
    z = torch.cat(means).transpose(0, 1).flatten(1)
    mean, std = z.mean(1), z.std(1)
    overall = z.std(1).square().mean().sqrt()
    gain = overall / std
    into, out_of = vae.quant_conv, vae.post_quant_conv
    out_of.bias += out_of.weight[:, :, 0, 0] @ mean
    out_of.weight /= gain.view(1, -1, 1, 1)
    into.weight[:4] *= gain.view(-1, 1, 1, 1)
    into.bias[:4] = (into.bias[:4] - mean) * gain
    into.bias[4:] += 2 * gain.log()
    vae.register_to_config(scaling_factor=round(1 / overall.item(), 5))


def export(vae: AutoencoderKL, train: Split, folder: Path) -> None:
    """Write the weights as an fp16 diffusers folder; the model in training is left as it was."""
    copy = build(tuple(vae.config.block_out_channels))
    copy.load_state_dict(vae.state_dict())
    copy.eval()
    equalise(copy, train.pixels[:: max(1, len(train) // 512)])
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    copy.half().save_pretrained(part)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def train(args: argparse.Namespace, s: Settings) -> None:
    """Train until the budget is used up, then export."""
    folder = data_folder(args.data)
    pictures, held = load(folder, "train"), load(folder, "held-out", 64)
    torch.manual_seed(args.seed)
    vae = build(s.widths)
    if args.from_embedded:
        vae = AutoencoderKL.from_pretrained(EMBEDDED / "vae").float()
    vae.to(memory_format=torch.channels_last)
    weights = weights_file(args.squeezenet, folder)
    features = SqueezeFeatures(weights) if weights.is_file() else None
    if features is None:
        print(f"no SqueezeNet weights at {weights}: training without the perceptual loss")

    def draw(rng: torch.Generator, done: float) -> tuple[torch.Tensor, ...]:
        size = s.crop if done < s.whole_from else pictures.pixels.shape[-1]
        chosen = torch.randint(0, len(pictures), (s.batch * s.crop**2 // size**2,), generator=rng)
        x = random_crops(pictures.pixels, chosen, size, rng).contiguous(memory_format=torch.channels_last)
        return x, torch.randn((len(x), 4, size // 8, size // 8), generator=rng)

    def loss(x: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        return loss_of(vae, features, s, x, noise)

    def check() -> dict[str, float]:
        return {"held-out PSNR dB": round(quick_psnr(vae, held.pixels), 3)}

    loop = Loop({"vae": vae}, loss, args.out / "autoencoder.safetensors", args, s.peak_rate, s.weight_decay)
    if features is not None:
        features.to(loop.device)
    loop.run(draw, every=250, check=check)
    loop.averaged(lambda: export(vae, pictures, args.out / "vae"))
    print(f"wrote {args.out / 'vae'}")


def main() -> None:
    """Command line."""
    options = parser(__doc__)
    options.add_argument("--squeezenet", type=Path, help="SqueezeNet v1.0 weights, for the perceptual loss")
    options.add_argument("--widths", type=int, nargs=4, default=Settings.widths)
    options.add_argument("--from-embedded", action="store_true", help="start from the exported weights")
    args = parse(options)
    train(args, Settings(widths=tuple(args.widths)))


if __name__ == "__main__":
    main()
