"""The noise schedule as two tables, so that one formula serves eps, v and flow networks.

Every network of the field learns from ``z_t = signal[t] * z + noise[t] * eps``. For DDPM-type models
``signal = sqrt(alpha_bar)`` and ``noise = sqrt(1 - alpha_bar)`` (Ho et al., arXiv 2006.11239); for rectified
flows ``signal = 1 - sigma`` and ``noise = sigma`` (Esser et al., arXiv 2403.03206). A network's prediction is a
linear map of ``(z, eps)``, so a deterministic DDIM or Euler step is the same formula for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from unlearnable.errors import UsageError

Prediction = Literal["eps", "v", "flow"]
CLEAN = -1  # the time of a picture without noise, as a target of `jump`

PREDICTIONS: dict[str, Prediction] = {"epsilon": "eps", "v_prediction": "v"}


@dataclass(frozen=True)
class Schedule:
    """Tables over training times ``t = 0 .. T-1``, least noise first.

    `signal`, `noise`: ``[T]`` float32. `timestep`: ``[T]``, the network's input. `clean`: signal and noise at
    `CLEAN`, which is (1, 0) unless the scheduler was configured with ``set_alpha_to_one=False``.
    """

    prediction: Prediction
    signal: Tensor
    noise: Tensor
    timestep: Tensor
    clean: tuple[float, float] = (1.0, 0.0)

    def __len__(self) -> int:
        return len(self.signal)

    @property
    def alpha_bar(self) -> Tensor:
        """Share of the signal's power in ``z_t``, ``[T]``; the usual alpha-bar for DDPM-type models."""
        return self.signal**2 / (self.signal**2 + self.noise**2)

    def noised(self, z: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """``z_t`` for latents `z` ``[b, ...]``, noise of the same shape and times `t` ``[b]``."""
        a, s = self._at(t, z)
        return a * z + s * noise

    def target(self, z: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """The network's target at ``z_t``: eps, ``v = a eps - s z`` or the flow ``eps - z``."""
        if self.prediction == "eps":
            return noise
        if self.prediction == "flow":
            return noise - z
        a, s = self._at(t, z)
        return a * noise - s * z

    def split(self, z_t: Tensor, t: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        """The clean latent and the noise that the prediction `out` at ``z_t`` implies."""
        a, s = self._at(t, z_t)
        if self.prediction == "eps":
            return (z_t - s * out) / a, out
        if self.prediction == "flow":
            return z_t - s * out, z_t + a * out
        return a * z_t - s * out, s * z_t + a * out

    def jump(self, z_t: Tensor, t: Tensor, s: Tensor, out: Tensor) -> Tensor:
        """A deterministic step from times `t` to `s` ``[b]``, in either direction; `CLEAN` is a valid `s`.

        DDIM with eta = 0 (Song et al., arXiv 2010.02502, eq. 12) or one Euler step of the flow.
        """
        z, noise = self.split(z_t, t, out)
        a_s, s_s = self._at(s, z_t)
        return a_s * z + s_s * noise

    def ancestral(self, z_t: Tensor, t: Tensor, s: Tensor, out: Tensor, fresh: Tensor, eta: float = 1.0) -> Tensor:
        """A random step down from times `t` to `s`: like `jump`, but part of the noise is replaced by `fresh`.

        DDIM with eta > 0 (arXiv 2010.02502, eq. 12 and 16) written for any signal and noise; eta = 1 draws from the
        posterior ``q(z_s | z_t, z)``, as DDPM does. With ``z_t = r z_s + ...``, ``r = signal_t / signal_s``, that
        posterior's variance is ``noise_s^2 (noise_t^2 - r^2 noise_s^2) / noise_t^2``.
        """
        z, noise = self.split(z_t, t, out)
        (a_t, s_t), (a_s, s_s) = self._at(t, z_t), self._at(s, z_t)
        sigma = eta * s_s * (1 - (a_t * s_s / (a_s * s_t)) ** 2).clamp_min(0).sqrt()
        return a_s * z + (s_s**2 - sigma**2).clamp_min(0).sqrt() * noise + sigma * fresh

    def spaced(self, steps: int, top: int | None = None) -> list[int]:
        """`steps` times from `top` (default: the noisiest) downwards, evenly spaced, each at most once."""
        top = len(self) - 1 if top is None else top
        if not 1 <= steps <= top + 1:
            raise UsageError(f"cannot take {steps} steps down from time {top}: choose between 1 and {top + 1}")
        return [round(top - i * (top + 1) / steps) for i in range(steps)]

    def to(self, device: torch.device) -> Schedule:
        tables = (self.signal.to(device), self.noise.to(device), self.timestep.to(device))
        return Schedule(self.prediction, *tables, self.clean)

    def _at(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1, *[1] * (like.ndim - 1))
        a = torch.where(t < 0, self.clean[0], self.signal[t.clamp_min(0)])
        s = torch.where(t < 0, self.clean[1], self.noise[t.clamp_min(0)])
        return a.view(shape).to(like.dtype), s.view(shape).to(like.dtype)


def from_scheduler(scheduler: Any) -> Schedule:
    """The tables of a diffusers scheduler (any with ``alphas_cumprod``, or a flow-matching one)."""
    config = scheduler.config
    if hasattr(scheduler, "alphas_cumprod") and config.get("prediction_type") != "flow_prediction":
        ab = scheduler.alphas_cumprod.float().cpu()
        name = config.get("prediction_type", "epsilon")
        if name not in PREDICTIONS:
            raise UsageError(f"prediction type {name!r} is not supported: use a model with {' or '.join(PREDICTIONS)}")
        to_one = config.get("set_alpha_to_one", True)
        clean = (1.0, 0.0) if to_one else (float(ab[0] ** 0.5), float((1 - ab[0]) ** 0.5))
        return Schedule(PREDICTIONS[name], ab.sqrt(), (1 - ab).sqrt(), torch.arange(len(ab)), clean)
    count = config.num_train_timesteps
    # With dynamic shifting (FLUX) the shift depends on the picture's size and belongs to sampling; training knows none.
    own = config.get("flow_shift", config.get("shift", 1.0))  # the former in multistep samplers (Sana)
    shift = 1.0 if config.get("use_dynamic_shifting") else own
    sigma = torch.arange(1, count + 1, dtype=torch.float32) / count
    sigma = shift * sigma / (1 + (shift - 1) * sigma)
    return Schedule("flow", 1 - sigma, sigma, sigma * count)
