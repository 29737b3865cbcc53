"""CIEDE2000, a colour difference that follows the eye (Sharma, Wu and Dalal 2005, Color Res. Appl. 30(1))."""

from __future__ import annotations

import torch
from torch import Tensor


def delta_e_2000(first: Tensor, second: Tensor) -> Tensor:
    """Colour difference of Lab colours, channels on axis 1: ``[n 3 ...]`` twice to ``[n ...]``.

    The paper's symbols and steps (its equations 2 to 22, all weights 1); hues in degrees.
    """
    (L1, a1, b1), (L2, a2, b2) = first.unbind(1), second.unbind(1)
    C_mean = (torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2
    G = (1 - saturation(C_mean)) / 2
    a1, a2 = (1 + G) * a1, (1 + G) * a2
    C1, C2 = torch.hypot(a1, b1), torch.hypot(a2, b2)
    h1, h2 = hue(a1, b1), hue(a2, b2)
    grey = C1 * C2 == 0

    d_h = h2 - h1
    d_h = torch.where(d_h > 180, d_h - 360, torch.where(d_h < -180, d_h + 360, d_h)).masked_fill(grey, 0)
    d_L, d_C, d_H = L2 - L1, C2 - C1, 2 * (C1 * C2).sqrt() * sine(d_h / 2)

    total, apart = h1 + h2, (h1 - h2).abs() > 180
    h = torch.where(apart, torch.where(total < 360, total + 360, total - 360), total) / 2
    h = torch.where(grey, total, h)
    L, C = (L1 + L2) / 2, (C1 + C2) / 2

    T = 1 - 0.17 * cosine(h - 30) + 0.24 * cosine(2 * h) + 0.32 * cosine(3 * h + 6) - 0.20 * cosine(4 * h - 63)
    S_L = 1 + 0.015 * (L - 50) ** 2 / (20 + (L - 50) ** 2).sqrt()
    S_C, S_H = 1 + 0.045 * C, 1 + 0.015 * C * T
    R_T = -sine(60 * torch.exp(-(((h - 275) / 25) ** 2))) * 2 * saturation(C)
    squared = (d_L / S_L) ** 2 + (d_C / S_C) ** 2 + (d_H / S_H) ** 2 + R_T * (d_C / S_C) * (d_H / S_H)
    return squared.clamp(min=0).sqrt()


def saturation(chroma: Tensor) -> Tensor:
    return (chroma**7 / (chroma**7 + 25.0**7)).sqrt()


def hue(a: Tensor, b: Tensor) -> Tensor:
    """In degrees from 0 to 360, 0 for grey."""
    return torch.rad2deg(torch.atan2(b, a)).remainder(360)


def sine(degrees: Tensor) -> Tensor:
    return torch.sin(torch.deg2rad(degrees))


def cosine(degrees: Tensor) -> Tensor:
    return torch.cos(torch.deg2rad(degrees))
