"""Fit the tests' small models once, so that tests find the same weights on every processor.

python tests/fit.py            # writes tests/fitted/*.safetensors
python tests/fit.py sana qwen  # of these families only
"""

import sys

import torch
from safetensors.torch import save_file
from torch import Tensor

import tiny
import tiny_dits
from tiny import FAMILIES, FITTED, PROMPT, SIDE, fit_autoencoder, pictures, vae
from unlearnable.models.adapters import adapt
from unlearnable.models.finetune.training import FineTune, fine_tune
from unlearnable.rng import generator


def autoencoder() -> dict[str, Tensor]:
    """Weights of the small autoencoder after 120 steps on `pictures`."""
    torch.manual_seed(0)
    network = vae(4)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    data = pictures(256, seed=2) * 2 - 1
    for step in range(120):
        x = data[torch.randint(256, (16,), generator=generator(step, "vae"))]
        z = network.encode(x).latent_dist.mode()
        loss = (network.decode(z).sample - x).abs().mean() + 0.01 * (z.mean() ** 2 + (z.var() - 1) ** 2)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.state_dict()


def denoiser(family: str) -> dict[str, Tensor]:
    """Weights of one family's denoiser after 250 steps on `pictures` (of the newer transformers, 150 small ones)."""
    new = family in tiny_dits.DITS
    model = adapt((tiny_dits if new else tiny).build(family), f"tiny-{family}")
    if type(getattr(model.pipe, "vae", None)).__name__ == "AutoencoderKL":
        fit_autoencoder(model)
    data = pictures(256, seed=1, side=min(model.size, SIDE))
    settings = FineTune(150, lr=4e-3, batch=8) if new else FineTune(250, lr=4e-3, batch=16)
    return fine_tune(model, data, PROMPT, settings, seed=0).denoiser.state_dict()


def keep(name: str, weights: dict[str, Tensor]) -> None:
    save_file({key: value.half().contiguous() for key, value in weights.items()}, FITTED / f"{name}.safetensors")


def main() -> None:
    FITTED.mkdir(exist_ok=True)
    families = sys.argv[1:] or [*FAMILIES, *tiny_dits.DITS]
    if not sys.argv[1:]:
        keep("autoencoder", autoencoder())
    for family in families:
        keep(family, denoiser(family))


if __name__ == "__main__":
    main()
