"""`unlearnable train-shortcut` and `train-ldu`: train the networks of Latent Diffusion Unlearning."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from unlearnable.cli import flags
from unlearnable.ldu.config import RhoConfig, ShortcutConfig

SHORTCUT_EXAMPLES = """[bold]Examples[/bold]

unlearnable train-shortcut pictures -r -o shortcut.safetensors

unlearnable train-shortcut pictures -o sd15.safetensors --model stable-diffusion-v1-5/stable-diffusion-v1-5 --batch 8

unlearnable protect photos -o protected --method ldu --options phi=shortcut:shortcut.safetensors

A caption beside a picture (x.txt by x.jpg) is its text. The same command goes on where it was interrupted."""
LDU_EXAMPLES = """[bold]Examples[/bold]

unlearnable train-ldu pictures -r -o rho.safetensors

accelerate launch -m unlearnable.cli train-ldu pictures -r -o rho.safetensors --batch 32 --model MODEL

unlearnable protect photos -o protected --method ldu-fast --options rho=rho.safetensors

Each folder inside is one subject. The same command goes on where it was interrupted."""


@flags.with_settings(changes=ShortcutConfig, loading=flags.Loading)
def train_shortcut(
    inputs: Annotated[list[Path], typer.Argument(help="Pictures or folders of pictures.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    prompt: Annotated[str, typer.Option(help="Text of pictures that have no caption of their own.")] = "a photo",
    seed: flags.Seed = 0,
    recursive: flags.Recursive = False,
    as_json: flags.Json = False,
    changes: Any = None,
    loading: Any = None,
) -> None:
    """Train a shortcut model, a LoRA that samples in 1 to 8 steps; the method ldu denoises with it."""
    from unlearnable.ldu import train

    with learning() as tell:
        settings = ShortcutConfig(**changes)
        report = train.train_shortcut(
            inputs, out, prompt=prompt, settings=settings, seed=seed, recursive=recursive, progress=tell, **loading
        )
    rows = report["few steps"]
    lines = [f"{'steps':>5}  " + "  ".join(f"{name:>8}" for name in rows)]
    lines += [f"{k:>5}  " + "  ".join(f"{row[k]:8.3f}" for row in rows.values()) for k in rows["ddim"]]
    print_report(report, as_json, ["distance from the samples of 64 DDIM steps, their spread being 1:", *lines])


@flags.with_settings(changes=RhoConfig, loading=flags.Loading)
def train_ldu(
    inputs: Annotated[list[Path], typer.Argument(help="Pictures or folders of pictures, a subject a folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    prompt: Annotated[str, typer.Option(help="Text of trajectories, and of pictures without a caption.")] = "a photo",
    psnr: Annotated[float | None, typer.Option(help="Least PSNR in dB; 36.1, the paper's, unless given.")] = None,
    eps: Annotated[float | None, typer.Option(help="Largest change of a sample instead, in levels of 255.")] = None,
    perceptual: Annotated[float | None, typer.Option(help="Largest distance in embedded features instead.")] = None,
    options: Annotated[str, typer.Option(help="Settings of the method ldu, as in k=4,t_start=0.5.")] = "",
    seed: flags.Seed = 0,
    recursive: flags.Recursive = False,
    as_json: flags.Json = False,
    changes: Any = None,
    loading: Any = None,
) -> None:
    """Train the network of ldu-fast, which protects a picture it never saw in one pass."""
    from unlearnable.ldu import train
    from unlearnable.recipe import Recipe

    budget = 36.1 if psnr is eps is perceptual is None else psnr
    method: Any = Recipe(method="ldu", psnr=budget, eps=eps, perceptual=perceptual, options=options).protection()
    with learning() as tell:
        settings = RhoConfig(**changes)
        report = train.train_rho(
            inputs, out, method, prompt=prompt, settings=settings, seed=seed, recursive=recursive,
            progress=tell, **loading,
        )  # fmt: skip
    rows = [f"{name:>8}  {value:.4f}" for name, value in report.get("loss", {}).items()]
    print_report(report, as_json, [f"{report['budget']}; denoised by {report['phi']}; denoising loss:", *rows])


@contextmanager
def learning() -> Iterator[Any]:
    """A progress bar with the time left; on an interruption it says how to resume, and exits."""
    from unlearnable.cli import protect as cli_protect

    with cli_protect.interruptible(lambda: "the same command goes on from here"), cli_protect.bar("learning") as tell:
        yield lambda done, total, loss: tell(done, total, f"learning, loss {loss:.4f}")


def print_report(report: dict[str, Any], as_json: bool, lines: list[str]) -> None:
    """Print the report to stdout, and unreadable files to stderr; with any of these the exit code is 1."""
    from unlearnable.cli.protect import talk
    from unlearnable.errors import shown

    for message in report["failed"]:
        talk.print(f"failed: {message}", style="red", markup=False)
    if as_json:
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        summary = f"{shown(report['file'])}: {report['pictures']} pictures, {report['seconds']:g} s"
        sys.stdout.write("\n".join([summary, *lines]) + "\n")
    if report["failed"]:
        raise typer.Exit(1)
