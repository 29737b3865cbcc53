"""Pictures with the statistics of photographs."""

import numpy as np
import torch


def natural(seed, side=480):
    """Something with the spectrum of photographs (1/f) and edges, ``[1 3 side side]`` in [0, 1]."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    layers = [np.fft.ifft2(np.fft.fft2(rng.normal(size=(side, side))) / (frequency + 1 / side)).real for _ in range(3)]
    first, second, mask = (layer / layer.std() for layer in layers)
    grey = np.where(mask > 0, first, second + 1)
    grey = np.clip(0.5 + grey / 8, 0, 1)
    return (torch.from_numpy(grey).float()[None, None].repeat(1, 3, 1, 1) * 255).round() / 255
