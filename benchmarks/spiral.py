"""The paper's figure in miniature: a shifted trajectory returns to the data, and more so the more steps it takes.

    python benchmarks/spiral.py                    # trains for less than a minute, prints, writes JSON and a plot

Points on a two-dimensional spiral are inverted to noise, shifted by a vector of length d in a random direction, and
brought back in k steps by a shortcut model: an MLP, trained by the very loss, loop and moves that pictures go through.
*Reconstruction error* is the mean squared distance to where the point started, *curve error* the mean squared distance
to the nearest point of the spiral: a point may return to the curve elsewhere. *Plain* rows take the same few steps with
the same network, but never tell it the jump size, as in the authors' release. The scale of the paper's spiral (LDU,
arXiv 2510.03089) and the definition of its error are not known to us: compare the growth with d, not the values.
"""

import argparse
import itertools
import json
import platform
import time
from pathlib import Path

import torch
from diffusers.models.embeddings import TimestepEmbedding, get_timestep_embedding
from torch import Tensor, nn

from unlearnable.ldu.config import ShortcutConfig
from unlearnable.ldu.phi import Phi
from unlearnable.ldu.shortcut import Shortcut
from unlearnable.ldu.teach import ShortcutTrainer
from unlearnable.models.base import Condition, Model
from unlearnable.models.invert import descent, invert
from unlearnable.models.schedule import Schedule
from unlearnable.rng import generator, seeded

TIMES, WIDTH, WAVES, NONE = 256, 128, 64, Condition()
SHIFTS = (0.0, 1.0, 1.5, 2.0, 2.5)
STEPS = (1, 2, 4, 8, 16)
PAPER = {4: (0.64, 21.8), 8: (0.53, 0.67)}  # from d = 1 to d = 2.5


def spiral(count: int, seed: object = 0) -> Tensor:
    """Points evenly spread over the length of an Archimedean spiral of two turns, ``[count 2]``, unit variance."""
    u = torch.rand(count, generator=generator("spiral", seed))
    return curve(u)


def curve(u: Tensor) -> Tensor:
    """The spiral at shares `u` of its length, about."""
    angle = 4.5 * torch.pi * (0.02 + 0.98 * u).sqrt()
    return torch.stack([angle * angle.cos(), angle * angle.sin()], 1) / 7.1


class Network(nn.Module):
    """An MLP on points and times, with the time embedding of diffusers' networks."""

    def __init__(self) -> None:
        super().__init__()
        self.time_embedding = TimestepEmbedding(WAVES, WIDTH)
        self.inside = nn.Linear(2, WIDTH)
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.outside = nn.Linear(WIDTH, 2)

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
        time = self.time_embedding(get_timestep_embedding(t, WAVES, downscale_freq_shift=0))
        x = self.inside(z)
        for layer in self.layers:
            x = x + layer(nn.functional.silu(x + time))
        return self.outside(nn.functional.silu(x))


class Plane(Model):
    """A flow on points ``[b 2]``."""

    family, size, multiple = "plane", 1, 1

    def __init__(self, seed: int = 0) -> None:
        sigma = torch.arange(1, TIMES + 1) / TIMES
        with seeded("plane", seed):
            network = Network()
        super().__init__(None, "plane", network, Schedule("flow", 1 - sigma, sigma, sigma * 1000), None)

    def predict(self, z_t: Tensor, t: Tensor, c: Condition) -> Tensor:
        return self.denoiser(z_t, self.schedule.timestep[t])

    def encode(self, x: Tensor) -> Tensor:
        return x

    def decode(self, z: Tensor) -> Tensor:
        return z

    def condition(self, prompts: object) -> Condition:
        return NONE

    def modules(self) -> list[nn.Module]:
        return [self.denoiser]

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        return 2, height, width


def learned(steps: int, seed: int) -> tuple[Shortcut, float]:
    """A shortcut model of the spiral, trained from nothing, and the seconds that took."""
    started = time.monotonic()
    shortcut = Shortcut(Plane(seed), rank=0)
    settings = ShortcutConfig(steps, lr=2e-3, batch=512, share=0.25, ema=0.998)
    teacher = ShortcutTrainer(shortcut, settings, seed=seed)
    teacher.run(spiral(20000), NONE)
    teacher.settle()
    return shortcut, time.monotonic() - started


@torch.no_grad()
def errors(shortcut: Shortcut, count: int, seed: int) -> list[dict[str, float]]:
    """Mean squared errors for every shift and number of steps, over `count` points."""
    model = shortcut.model
    phis = {"shortcut": Phi("shortcut", model, shortcut.step), "plain": Phi("ddim", model)}
    z, line = spiral(count, "held out"), curve(torch.linspace(0, 1, 4000))
    noise = invert(model, z, NONE, descent(model.schedule, 128), refine=3)
    angle = 2 * torch.pi * torch.rand(count, generator=generator("shift", seed))
    way, rows = torch.stack([angle.cos(), angle.sin()], 1), []
    for (name, phi), k, d in itertools.product(phis.items(), STEPS, SHIFTS):
        back = phi(noise + d * way, NONE, phi.times(k, 1.0))
        miss = (back - z).square().sum(1).mean()
        off = torch.cdist(back, line).amin(1).square().mean()
        rows.append({"phi": name, "k": k, "d": d, "reconstruction": float(miss), "curve": float(off)})
    return rows


def table(rows: list[dict[str, float]]) -> str:
    lines = ["| | k | error | " + " | ".join(f"d = {d:g}" for d in SHIFTS) + " | paper, d = 1 to 2.5 |"]
    lines.append("|---" * (len(SHIFTS) + 4) + "|")
    for phi, k, name in itertools.product(("shortcut", "plain"), STEPS, ("reconstruction", "curve")):
        cells = [f"{row[name]:.3f}" for row in rows if (row["phi"], row["k"]) == (phi, k)]
        paper = "{:g} to {:g}".format(*PAPER[k]) if k in PAPER and name == "reconstruction" else ""
        lines.append(f"| {phi} | {k} | {name} | " + " | ".join(cells) + f" | {paper} |")
    return "\n".join(lines)


def plot(shortcut: Shortcut, rows: list[dict[str, float]], path: Path) -> None:
    """Errors against the shift, beside the paper's ends, and where points come back at d = 2.5."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4), layout="constrained")
    left, *right = figure.subplots(1, 3)
    for k, colour in ((4, "tab:red"), (8, "tab:blue")):
        for phi, style in (("shortcut", "-"), ("plain", "--")):
            mine = [row for row in rows if (row["phi"], row["k"]) == (phi, k) and row["d"]]
            for name, mark in (("reconstruction", "o"), ("curve", "s")):
                label = f"k = {k}, {phi}, {name}"
                left.plot([r["d"] for r in mine], [r[name] for r in mine], mark + style, color=colour, label=label)
        left.plot([1, 2.5], PAPER[k], "x:", color=colour, alpha=0.6, label=f"k = {k}, the paper's ends")
    left.set(yscale="log", xlabel="shift d of the noise", ylabel="mean squared error")
    left.legend(fontsize=6, ncols=2, loc="upper left", bbox_to_anchor=(0, 0.62))
    model, line = shortcut.model, curve(torch.linspace(0, 1, 2000))
    phi, z = Phi("shortcut", model, shortcut.step), spiral(300, "held out")
    with torch.no_grad():
        noise = invert(model, z, NONE, descent(model.schedule, 128), refine=3)
        for axes, k in zip(right, (4, 8)):
            back = phi(noise + torch.tensor([2.5, 0.0]), NONE, phi.times(k, 1.0))
            axes.plot(*line.T, color="0.8", lw=1)
            axes.plot(*z.T, ".", ms=3, color="0.5", label="where they started")
            axes.plot(*back.T, ".", ms=3, color="tab:red", label="where they came back")
            axes.set(title=f"shift 2.5 to the right, k = {k}", aspect="equal")
            axes.legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main(arguments: list[str] | None = None) -> dict:
    results = Path(__file__).parent / "results"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000, help="of training")
    parser.add_argument("--points", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, default=results / "spiral.json")
    parser.add_argument("--plot", type=Path, default=results / "spiral.png")
    options = parser.parse_args(arguments)
    shortcut, seconds = learned(options.steps, options.seed)
    rows = errors(shortcut, options.points, options.seed)
    print(table(rows))
    print(f"\n{options.points} points, seed {options.seed}; {options.steps} training steps in {seconds:.0f} s ", end="")
    print(f"({platform.machine()}, {torch.get_num_threads()} threads)")
    found = {"rows": rows, "paper": PAPER, "seconds": round(seconds, 1), "steps": options.steps, "seed": options.seed}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(found, indent=1) + "\n")
    plot(shortcut, rows, options.plot)
    return found


if __name__ == "__main__":
    main()
