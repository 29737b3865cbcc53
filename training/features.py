"""Train the embedded model's feature network (`embedded-features`) on labels and a teacher, with strong augmentation.

    python training/features.py --minutes 25     # to resume, run the same command again

Cross-entropy with label smoothing on 64 px views: random crops, mirrored, recoloured, greyed, blurred, with noise and
holes, so that a soft generated picture is still recognised. Labels teach kinds, not subjects: the network also predicts
SqueezeNet's features of the same view before it was harmed (distillation, Hinton et al., arXiv 1503.02531). The
averaged weights go to `features` in the cache.
"""

import argparse
from pathlib import Path

import kornia.augmentation as K
import torch
import torch.nn.functional as F

from common import Figures, pick_device
from data import Split, data_folder, load
from loop import Loop, parse, parser
from perceptual import SqueezeFeatures, weights_file
from unlearnable.models.features import SIDE, FeatureNetwork

BATCH = 64
PEAK_RATE = 2e-3
WEIGHT_DECAY = 0.02
SMOOTHING = 0.1
TEACHING = 5.0  # weight of the teacher beside the labels


def views() -> torch.nn.Module:
    """Random views of pictures [n, 3, 128, 128] in [0, 1], as [n, 3, 64, 64]: what the teacher sees."""
    return K.AugmentationSequential(
        K.RandomResizedCrop((SIDE, SIDE), scale=(0.3, 1.0), ratio=(0.75, 1.33)),
        K.RandomHorizontalFlip(),
        K.ColorJitter(0.3, 0.3, 0.3, 0.03, p=0.8),
        K.RandomGrayscale(p=0.1),
        data_keys=["input"],
    )


def harm() -> torch.nn.Module:
    """The same views as the network sees them: some softened, noisy or with holes, as generated pictures are."""
    return K.AugmentationSequential(
        K.RandomGaussianBlur((7, 7), (0.4, 2.5), p=0.5),
        K.RandomGaussianNoise(std=0.03, p=0.3),
        K.RandomErasing(scale=(0.02, 0.2), p=0.3),
        data_keys=["input"],
    )


@torch.no_grad()
def accuracy(network: FeatureNetwork, split: Split) -> float:
    """Share of pictures whose label is ranked first."""
    device, order = network.head.weight.device, {label: i for i, label in enumerate(network.labels)}
    wanted = torch.tensor([order.get(label, -1) for label in split.labels], device=device)
    found = torch.cat([network(part.to(device) / 255).argmax(1) for part in split.pixels.split(64)])
    return (found == wanted).float().mean().item()


@torch.no_grad()
def standardise(network: FeatureNetwork, split: Split) -> None:
    """Set the mean and the spread that embeddings are standardised with."""
    network.centre.zero_()
    network.spread.fill_(1)
    device = network.head.weight.device
    found = torch.cat([network.embed(part.to(device) / 255) for part in split.pixels.split(64)])
    network.centre.copy_(found.mean(0))
    network.spread.copy_(found.std(0).clamp_min(1e-3))


class Teacher:
    """SqueezeNet's features of views [n, 3, 64, 64] in [0, 1], standardised on some of them: [n, 512]."""

    def __init__(self, weights: Path, views: torch.Tensor, device: torch.device) -> None:
        self.network = SqueezeFeatures(weights).to(device)
        self.centre, self.spread = torch.zeros(1, device=device), torch.ones(1, device=device)
        seen = torch.cat([self(part.to(device)) for part in views.split(64)])
        self.centre, self.spread = seen.mean(0), seen.std(0).clamp_min(1e-3)

    @torch.no_grad()
    def __call__(self, views: torch.Tensor) -> torch.Tensor:
        return (self.network.embed(2 * views - 1) - self.centre) / self.spread


def train(args: argparse.Namespace) -> None:
    """Train until the budget is used up; the averaged network is written with every checkpoint."""
    folder = data_folder(args.data)
    pictures, held = load(folder, "train"), load(folder, "held-out")
    labels = sorted(set(pictures.labels))
    numbers = torch.tensor([labels.index(label) for label in pictures.labels])
    torch.manual_seed(args.seed)
    network, augment, spoil = FeatureNetwork(labels), views(), harm()
    some = augment(pictures.pixels[::16].float() / 255)
    teacher = Teacher(weights_file(args.squeezenet, folder), some, pick_device(args.device))
    pupil = torch.nn.Linear(network.dim, len(teacher.centre))
    network.to(memory_format=torch.channels_last)

    def draw(rng: torch.Generator, done: float) -> tuple[torch.Tensor, ...]:
        chosen = torch.randint(0, len(pictures), (args.batch,), generator=rng)
        torch.manual_seed(rng.initial_seed())  # kornia draws from the global generator
        whole = augment(pictures.pixels[chosen].float() / 255)
        return spoil(whole).contiguous(memory_format=torch.channels_last), whole, numbers[chosen]

    def loss(x: torch.Tensor, whole: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, Figures]:
        pooled = network.pooled(x)
        logits = network.head(pooled)
        value = F.cross_entropy(logits, wanted, label_smoothing=SMOOTHING)
        apart = (1 - F.cosine_similarity(pupil(pooled), teacher(whole))).mean()
        right = (logits.argmax(1) == wanted).float().mean()
        return value + TEACHING * apart, {"loss": value.detach(), "apart": apart.detach(), "right": right}

    def check() -> dict[str, float]:
        return {"held-out accuracy": round(accuracy(network, held), 4)}

    def write() -> None:
        standardise(network, Split(pictures.pixels[::16], pictures.labels[::16], pictures.paths[::16]))
        network.save(args.out / "features")

    loop = Loop(
        {"features": network, "pupil": pupil}, loss, args.out / "features.safetensors", args, PEAK_RATE, WEIGHT_DECAY
    )
    loop.run(draw, write, every=250, check=check)


def main() -> None:
    """Command line."""
    options = parser(__doc__)
    options.add_argument("--batch", type=int, default=BATCH)
    options.add_argument("--squeezenet", type=Path, help="SqueezeNet v1.0 weights, the teacher")
    train(parse(options))


if __name__ == "__main__":
    main()
