"""Figures on the 5 % of pictures kept aside: the autoencoder's, the denoiser's, and the model's sizes."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel

from data import Split, to_float
from tables import article

BINS = ((0, 200), (200, 400), (400, 600), (600, 800), (800, 1000))


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, pixels: torch.Tensor) -> torch.Tensor:
    """Encode and decode uint8 pictures [n, 3, h, w]; back on the 8-bit grid."""
    device = next(vae.parameters()).device
    out = []
    for chunk in pixels.split(16):
        x = vae.decode(vae.encode(to_float(chunk).to(device)).latent_dist.mode()).sample
        out.append(((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu())
    return torch.cat(out)


def autoencoder_figures(vae: AutoencoderKL, held: Split) -> dict[str, float]:
    """Mean PSNR (dB) and SSIM of whole held-out pictures, beside those of two ways to keep as few or fewer numbers."""
    from skimage.metrics import structural_similarity

    small = torch.nn.functional.interpolate(held.pixels.float(), scale_factor=1 / 8, mode="area")
    enlarged = torch.nn.functional.interpolate(small, scale_factor=8, mode="bicubic").clamp(0, 255).to(torch.uint8)
    figures = {}
    linear = principal(held.pixels, vae.config.latent_channels)
    kept = {"autoencoder": reconstruct(vae, held.pixels), "shrunk 8 x and enlarged": enlarged, "linear": linear}
    for name, out in kept.items():
        errors = (out.float() - held.pixels.float()).square().mean((1, 2, 3)).clamp_min(1e-3)
        figures[f"{name}: PSNR dB"] = (10 * torch.log10(255**2 / errors)).mean().item()
        pairs = zip(out.permute(0, 2, 3, 1).numpy(), held.pixels.permute(0, 2, 3, 1).numpy())
        values = [structural_similarity(a, b, channel_axis=2, data_range=255) for a, b in pairs]
        figures[f"{name}: SSIM"] = sum(values) / len(values)
    return figures


def principal(pixels: torch.Tensor, count: int) -> torch.Tensor:
    """Pictures from the first `count` principal components of their own 8 x 8 blocks: the best linear autoencoder."""
    blocks = torch.nn.functional.unfold(pixels.float(), 8, stride=8).mT
    rows = blocks.reshape(-1, blocks.shape[-1])
    centre = rows.mean(0)
    basis = torch.linalg.eigh(torch.cov((rows - centre).mT))[1][:, -count:]
    back = (blocks - centre) @ basis @ basis.mT + centre
    return torch.nn.functional.fold(back.mT, pixels.shape[-2:], 8, stride=8).round().clamp(0, 255).to(torch.uint8)


@torch.no_grad()
def encode(pipeline: StableDiffusionPipeline, pixels: torch.Tensor) -> torch.Tensor:
    """Scaled latents [n, c, h / 8, w / 8] of uint8 pictures."""
    vae = pipeline.vae
    parts = [vae.encode(to_float(chunk).to(vae.device)).latent_dist.mean for chunk in pixels.split(16)]
    return torch.cat(parts) * vae.config.scaling_factor


@torch.no_grad()
def v_errors(
    pipeline: StableDiffusionPipeline, unet: UNet2DConditionModel, z: torch.Tensor, prompts: list[str], seed: int
) -> dict[str, float]:
    """Mean squared error of v for each range of timesteps (one draw per picture and range). Predicting 0 scores 1."""
    scheduler, device = pipeline.scheduler, z.device
    text = pipeline.encode_prompt(prompts, device, 1, False)[0]
    errors = {}
    for low, high in BINS:
        rng = torch.Generator().manual_seed(seed + low)
        t = torch.randint(low, high, (len(z),), generator=rng).to(device)
        noise = torch.randn(z.shape, generator=rng).to(device)
        noisy, target = scheduler.add_noise(z, noise, t), scheduler.get_velocity(z, noise, t)
        parts = [unet(*args).sample for args in zip(noisy.split(32), t.split(32), text.split(32))]
        errors[f"t {low}..{high - 1}"] = (torch.cat(parts) - target).square().mean().item()
    return errors


def denoising_figures(pipeline: StableDiffusionPipeline, held: Split, seed: int) -> dict[str, dict[str, float]]:
    """`v_errors` with the right caption, with another picture's caption, without one, and of an untrained U-Net."""
    z = encode(pipeline, held.pixels)
    right = [f"a photo of {article(label)} {label}" for label in held.labels]
    order = torch.randperm(len(right), generator=torch.Generator().manual_seed(seed)).tolist()
    torch.manual_seed(seed)
    untrained = UNet2DConditionModel.from_config(pipeline.unet.config).to(z.device).eval()
    return {
        "trained, right caption": v_errors(pipeline, pipeline.unet, z, right, seed),
        "trained, another picture's caption": v_errors(pipeline, pipeline.unet, z, [right[i] for i in order], seed),
        "trained, empty caption": v_errors(pipeline, pipeline.unet, z, [""] * len(right), seed),
        "untrained network": v_errors(pipeline, untrained, z, right, seed),
    }


def model_figures(pipeline: StableDiffusionPipeline, folder: Path, held: Split) -> dict[str, float]:
    """Sizes, and how near to unit variance the scaled latents are."""
    parts = {"vae": pipeline.vae, "unet": pipeline.unet, "text encoder": pipeline.text_encoder}
    figures = {f"{name}: M parameters": sum(p.numel() for p in m.parameters()) / 1e6 for name, m in parts.items()}
    figures["folder: MB"] = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
    z = encode(pipeline, held.pixels)
    figures |= {"scaled latents: mean": z.mean().item(), "scaled latents: standard deviation": z.std().item()}
    return figures
