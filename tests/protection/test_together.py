"""CAAT's two updates from one backward pass, against the stock network in float64 with AdamW's step written out."""

import copy

import torch

from tiny import PROMPT, fitted, pictures
from unlearnable.protection import strengths
from unlearnable.protection.adjust import adjusted
from unlearnable.protection.timesteps import draw, probabilities
from unlearnable.protection.together import FASTER
from unlearnable.rng import image_keys, normal


def test_one_backward_two_updates_by_hand():
    """Two rounds: pictures up by the sign, K and V down by AdamW (beta 0.9 and 0.999, decay 0.01), nothing else."""
    model, x = fitted("sd1"), pictures(2, seed=9)
    settings = adjusted(strengths.protection("caat", "paper"), start="zero", rounds=2)
    ours = settings(model, x, prompt=PROMPT, seed=5)

    net, vae = copy.deepcopy(model.pipe.unet).double(), copy.deepcopy(model.pipe.vae).double()
    trained = [p for n, p in net.named_parameters() if "attn2.to_k" in n or "attn2.to_v" in n]
    assert len(trained) == 8, "keys and values of four layers"
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in trained]
    text = model.pipe.encode_prompt([PROMPT], "cpu", 1, False)[0].expand(2, -1, -1).double()
    keys, ab = image_keys(x), model.pipe.scheduler.alphas_cumprod.double()
    lr, eps, y = FASTER * 1e-4, 6.4 / 255, x.double()
    for step in range(2):
        t = draw(probabilities("uniform", model.schedule), keys, "time", 5, step, 0)
        noise = normal(keys, (4, 8, 8), "noise", 5, step, 0).double()
        y = y.detach().requires_grad_(True)
        for p in trained:
            p.requires_grad_(True)
        a = ab[t].view(-1, 1, 1, 1)
        z_t = a.sqrt() * vae.encode(2 * y - 1).latent_dist.mean + (1 - a).sqrt() * noise
        loss = (net(z_t, t, text).sample - noise).square().flatten(1).mean(1).sum()
        up, *down = torch.autograd.grad(loss, [y, *trained])
        with torch.no_grad():
            for p, g, (m, v) in zip(trained, down, moments):
                p -= lr * 0.01 * p
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.999).add_(0.001 * g * g)
                p -= lr * (m / (1 - 0.9 ** (step + 1))) / ((v / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8)
            y = (x + (y + 0.1 * eps * up.sign() - x).clamp(-eps, eps)).clamp(0, 1)
    assert ((ours - y).abs() < 1e-6).float().mean() > 0.995

    turn = settings.surrogate.begin(model, PROMPT, 0)
    fresh = turn.before(x, x)[0].model.denoiser
    learning = {n for n, p in fresh.named_parameters() if p.requires_grad}
    assert len(learning) == 8 and all("attn2.to_" in n for n in learning)
    assert not any(p.requires_grad for p in model.denoiser.parameters()), "the given model is left alone"
