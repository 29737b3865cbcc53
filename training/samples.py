"""Figures about what the model draws: is the caption's kind recognised, how far are its pictures from real ones.

Recognised by, and measured in, the feature network that ships (`embedded-features`): trained on the same labels, so it
says whether a picture looks like its kind to a network of this size, not how good it looks to people.
"""

from itertools import pairwise
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from data import Split
from sheets import SHOWN
from tables import article
from unlearnable import load_model
from unlearnable.metrics.distribution import fid
from unlearnable.models.features import FeatureNetwork

STEPS, GUIDANCE = 30, 4.0


def caption(label: str) -> str:
    return f"a photo of {article(label)} {label}"


@torch.no_grad()
def draw(pipeline: StableDiffusionPipeline, labels: list[str], seed: int) -> Tensor:
    """One picture a label, [n 3 128 128] in [0, 1]; picture i's noise depends on the seed and i."""
    found = []
    for start in range(0, len(labels), 32):
        part = labels[start : start + 32]
        rng = [torch.Generator().manual_seed(seed * 1_000_003 + start + i) for i in range(len(part))]
        out = pipeline(
            [caption(label) for label in part],
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            generator=rng,
            output_type="pt",
        )
        found.append(out.images.float().cpu())
    return torch.cat(found)


@torch.no_grad()
def embedded(network: FeatureNetwork, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and embeddings of pictures in [0, 1]."""
    parts = pictures.split(64)
    return torch.cat([network(p) for p in parts]), torch.cat([network.embed(p) for p in parts])


def ranks(network: FeatureNetwork, logits: Tensor, labels: list[str]) -> Tensor:
    """The place of each picture's own label among all of the network's, 1 is best."""
    own = logits.gather(1, torch.tensor([[network.labels.index(label)] for label in labels]))
    return (logits > own).sum(1) + 1


def sample_figures(pipeline: StableDiffusionPipeline, held: Split, seed: int, count: int) -> dict[str, float]:
    """Accuracy and FID of generated pictures, beside those of real ones.

    The held-out pictures are split in two: FID compares `count` of one half with generated pictures for the other
    half's captions, and, as the best that can be expected, with that other half itself.
    """
    network = FeatureNetwork.from_folder()
    chosen = torch.randperm(len(held), generator=torch.Generator().manual_seed(seed))[: 2 * count]
    mine, others = chosen[: len(chosen) // 2], chosen[len(chosen) // 2 :]
    labels = [held.labels[i] for i in mine.tolist()]
    made = draw(pipeline, labels, seed)
    fake_logits, fake = embedded(network, made)
    real_logits, real = embedded(network, held.pixels[mine] / 255)
    _, other = embedded(network, held.pixels[others] / 255)
    shown = torch.tensor([label in SHOWN for label in labels])
    fake_ranks, real_ranks = (ranks(network, logits, labels) for logits in (fake_logits, real_logits))

    def share(rank: Tensor, top: int) -> float:
        return (rank <= top).float().mean().item()

    return {
        "pictures": len(labels),
        "kind recognised, generated: first of 120": share(fake_ranks, 1),
        "kind recognised, generated: among the first 5": share(fake_ranks, 5),
        "kind recognised, real held-out: first of 120": share(real_ranks, 1),
        "kind recognised, real held-out: among the first 5": share(real_ranks, 5),
        "kind recognised, generated, the 24 kinds of the sheet: first": share(fake_ranks[shown], 1),
        "FID (embedded-features), generated to real": float(fid(fake, other)),
        "FID (embedded-features), real to real": float(fid(real, other)),
    }


@torch.no_grad()
def text_figures(pipeline: StableDiffusionPipeline, folder: Path, seed: int, count: int = 8) -> dict[str, float]:
    """Do words matter: from the same noise, how often does swapping the caption swap the kind that is recognised.

    For `count` pairs of kinds (a, b): the share of noises whose picture for a is nearer to kind a than the picture for
    b is, and the other way round (0.5 is chance); and the largest difference (of 255) between our sampler and
    the stock pipeline, with the caption and with a word nobody has taught it.
    """
    network = FeatureNetwork.from_folder()
    right, total = 0, 0
    for i in range(count):
        a, b = SHOWN[i], SHOWN[i + count]
        first, second = (network(draw(pipeline, [kind] * 4, seed)) for kind in (a, b))
        place = network.labels.index
        gain_a = first.log_softmax(1)[:, place(a)] - second.log_softmax(1)[:, place(a)]
        gain_b = second.log_softmax(1)[:, place(b)] - first.log_softmax(1)[:, place(b)]
        right += int((gain_a > 0).sum() + (gain_b > 0).sum())
        total += 8
    figures = {"caption swapped: kind follows (0.5 is chance)": right / total}
    for name, prompt in (("a known kind", "a photo of a sunflower"), ("an unknown word", "a photo of a zyzzyva")):
        figures[f"ours against stock diffusers, {name}: largest difference of 255"] = _ours_and_stock(
            pipeline, folder, prompt, seed
        )
    return figures


def _ours_and_stock(pipeline: StableDiffusionPipeline, folder: Path, prompt: str, seed: int) -> float:
    noise = torch.randn(1, pipeline.unet.config.in_channels, 16, 16, generator=torch.Generator().manual_seed(seed))
    stock = pipeline(
        prompt, latents=noise, num_inference_steps=STEPS, guidance_scale=GUIDANCE, output_type="pt"
    ).images.float()
    model = load_model(str(folder), device=str(pipeline.device))
    times = [*pipeline.scheduler.timesteps.tolist(), -1]
    z, text, empty = noise.to(model.device), model.condition([prompt]), model.condition([""])
    for t, s in pairwise(times):
        now, after = torch.tensor([t], device=model.device), torch.tensor([s], device=model.device)
        free, told = model.predict(z, now, empty), model.predict(z, now, text)
        z = model.jump(z, now, after, free + GUIDANCE * (told - free))
    return 255 * (model.decode(z).clamp(0, 1) - stock).abs().max().item()
