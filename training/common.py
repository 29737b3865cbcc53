"""What every training script shares: device, seeds, checkpoints that survive a kill, learning rate, progress line."""

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("UNLEARNABLE_TRAINING") or Path.home() / ".cache" / "unlearnable" / "training")
WEIGHTS = ROOT / "training" / "weights"
Figures = dict[str, torch.Tensor]  # scalars that stay on their device, so that no step waits for them
EMBEDDED = ROOT / "src" / "unlearnable" / "models" / "embedded"


def pick_device(name: str) -> torch.device:
    """`auto` takes CUDA, then Apple's MPS, then the CPU."""
    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def autocast(device: torch.device) -> torch.autocast:
    """bf16 where the hardware multiplies it: CUDA, and processors with AMX. Elsewhere fp32, which is faster there."""
    fast = device.type == "cuda" or (device.type == "cpu" and torch.cpu._is_amx_tile_supported())
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=fast)


def set_threads(device: torch.device, shards: int | None) -> int:
    """How many shards `mean_gradients` shall use: on a CPU one for each core, each with one thread; else one."""
    if device.type != "cpu":
        return 1
    torch.set_num_threads(1 if shards != 1 else torch.get_num_threads())
    return shards or max(1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1)


def step_rng(seed: int, step: int) -> torch.Generator:
    """The random numbers of one step, the same however often training was interrupted before it."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def averaged_encoder(folder: Path, name: str) -> Path:
    """The averaged weights of an encoder: those that training left in `folder`, else those that are committed."""
    file = folder / f"encoder-{name}-average.safetensors"
    return file if file.is_file() else WEIGHTS / f"encoder-{name}.safetensors"


def normal(shape: Sequence[int], rng: torch.Generator, device: torch.device) -> torch.Tensor:
    """Standard normal numbers, drawn on the device; on a CPU from `rng` itself, elsewhere from a seed that it draws."""
    if device.type == "cpu":
        return torch.randn(shape, generator=rng)
    seed = int(torch.randint(2**62, (), generator=rng))
    return torch.randn(shape, generator=torch.Generator(device).manual_seed(seed), device=device)


def learning_rate(peak: float, done: float, step: int, warmup: int = 100, decay: float = 0.35) -> float:
    """Linear warm-up, flat, then a cosine to 2 % of the peak over the last `decay` of the budget. `done` in [0, 1]."""
    fall = min(max((done - (1 - decay)) / decay, 0.0), 1.0)
    return peak * min(1.0, (step + 1) / warmup) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * fall)))


def write_atomically(tensors: dict[str, torch.Tensor], file: Path, metadata: dict[str, str] | None = None) -> None:
    """Save as safetensors under a temporary name, then rename: the file is old or new, never half."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, part, metadata)
    os.replace(part, file)


def save_checkpoint(
    file: Path, modules: dict[str, torch.nn.Module], optimizer: torch.optim.Optimizer, ema: dict, progress: dict
) -> None:
    """Weights, Adam's moments, averaged weights (`ema`: name -> tensors) and the progress, in one safetensors file."""
    tensors = {f"{name}/{key}": value for name, module in modules.items() for key, value in module.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{key}": torch.as_tensor(value) for key, value in state.items()}
    tensors |= {f"ema/{name}/{i}": value for name, values in ema.items() for i, value in enumerate(values)}
    write_atomically({name: value.clone() for name, value in tensors.items()}, file, {"progress": json.dumps(progress)})


def load_checkpoint(
    file: Path, modules: dict[str, torch.nn.Module], optimizer: torch.optim.Optimizer, ema: dict
) -> dict:
    """Put everything `save_checkpoint` wrote back in place and return the progress; {} when there is no file."""
    if not file.is_file():
        return {}
    with safe_open(file, "pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
        progress = json.loads(opened.metadata()["progress"])
    for name, module in modules.items():
        prefix = f"{name}/"
        module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    state: dict[int, dict] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer/"):
            _, index, key = name.split("/")
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for name, values in ema.items():
        for i, value in enumerate(values):
            value.copy_(tensors[f"ema/{name}/{i}"])
    return progress


@dataclass
class Clock:
    """How far a run is: it ends after `steps` steps or `minutes` of training in all, resumed stretches included."""

    steps: int | None
    minutes: float | None
    step: int = 0
    spent: float = 0.0  # minutes in earlier stretches
    began: float = field(default_factory=time.monotonic)

    @property
    def elapsed(self) -> float:
        return self.spent + (time.monotonic() - self.began) / 60

    @property
    def done(self) -> float:
        """Fraction of the budget that is used up."""
        by_steps = self.step / self.steps if self.steps else 0.0
        by_time = self.elapsed / self.minutes if self.minutes else 0.0
        return max(by_steps, by_time)

    def line(self, seen: int) -> str:
        """`step 1200, 31 %, 24.1 samples/s, 11.3 min, ETA 25.2 min`; `seen` samples in this stretch."""
        rate = seen / max((self.elapsed - self.spent) * 60, 1e-9)
        eta = max(0.0, self.elapsed * (1 / max(self.done, 1e-6) - 1))
        return (
            f"step {self.step}, {100 * self.done:.0f} %, {rate:.1f} samples/s, "
            f"{self.elapsed:.1f} min, ETA {eta:.1f} min"
        )


def mean_gradients(
    loss_of: Callable[..., tuple[torch.Tensor, Figures]],
    parameters: list[torch.nn.Parameter],
    batch: tuple[torch.Tensor, ...],
    shards: int,
) -> Figures:
    """Put the gradient of the mean loss of `batch` into `parameters`, in `shards` threads; return the mean parts.

    Each thread takes the next of 2 x `shards` chunks when it is free. On a CPU which other programs use as well, this
    waits once a step, where torch's own threads wait for one another at every operation.
    """
    chunks = list(zip(*(part.chunk(2 * shards if shards > 1 else 1) for part in batch)))

    def one(chunk: tuple[torch.Tensor, ...]) -> tuple[tuple[torch.Tensor | None, ...], Figures, float]:
        loss, parts = loss_of(*chunk)
        return torch.autograd.grad(loss, parameters, allow_unused=True), parts, len(chunk[0]) / len(batch[0])

    if shards == 1:
        results = [one(chunk) for chunk in chunks]
    else:
        with ThreadPoolExecutor(shards) as pool:
            results = list(pool.map(one, chunks))
    if shards == 1 and all(g is None or g.stride() == p.stride() for g, p in zip(results[0][0], parameters)):
        for gradient, parameter in zip(results[0][0], parameters):
            parameter.grad = gradient
        return results[0][1]
    for index, parameter in enumerate(parameters):
        found = [gradients[index] * share for gradients, _, share in results if gradients[index] is not None]
        # In the parameter's own memory layout: fused optimizers walk both in memory order without looking at strides.
        parameter.grad = torch.empty_like(parameter).copy_(torch.stack(found).sum(0)) if found else None
    return {name: sum(parts[name] * share for _, parts, share in results) for name in results[0][1]}
