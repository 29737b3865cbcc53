"""SimAC's search for the times at which a picture's gradient is large, for every method: ``--options search=true``.

Wang et al., "SimAC", CVPR 2024, arXiv 2312.07865, algorithm 1: S holds all times; for up to 50 rounds, while it holds
more than a tenth of them, five times of S are tried, the 4 % around the one with the smallest gradient are dropped, and
the picture takes a step at the one with the largest. The perturbation of the search is thrown away; S is what remains.
"""

from __future__ import annotations

import torch
from torch import Tensor

from unlearnable import rng
from unlearnable.protection.objectives import Batch, Objective
from unlearnable.protection.parameterisation import Pixels, Scene
from unlearnable.protection.surrogates import View

ROUNDS, TRIED = 50, 5
REMAINING, DROPPED = 0.1, 0.04  # shares of all times: 100 and 40 of 1,000


def searched(objective: Objective, view: View, scene: Scene, p: Tensor, goal: Tensor | None) -> Tensor:
    """p(t) of each picture, ``[b T]`` float64: the law `p` ``[T]`` on the times that its own search left."""
    times, allowed = len(p), (p > 0).expand(len(scene.x), -1).clone()
    change = Pixels(start="zero").begin(view.model, scene)
    shape = view.model.latent_shape(*scene.x.shape[-2:])
    for turn in range(ROUNDS):
        going = allowed.sum(1) > REMAINING * times
        if not going.any():
            break
        lots = rng.uniform(scene.keys, (times,), "search", scene.seed, turn)
        tried = lots.masked_fill(~allowed, -1).topk(TRIED, 1).indices
        gradients = []
        for i in range(TRIED):
            x = change.seen.detach().requires_grad_(True)
            noise = rng.normal(scene.keys, shape, "search noise", scene.seed, turn, i, device=x.device)
            batch = Batch(tried[:, i].to(x.device), noise, view.condition, goal)
            gradients.append(torch.autograd.grad(objective(view.model, x, batch).sum(), x)[0])
        stacked = torch.stack(gradients)
        scores = stacked.abs().flatten(2).sum(2).cpu()
        least = tried.gather(1, scores.argmin(0)[:, None])
        near = (torch.arange(times) - least).abs() <= DROPPED * times / 2
        allowed &= ~(near & going[:, None])
        change.move(stacked[scores.argmax(0).to(stacked.device), torch.arange(len(scene.x), device=stacked.device)])
    law = p * allowed
    return law / law.sum(1, keepdim=True)
