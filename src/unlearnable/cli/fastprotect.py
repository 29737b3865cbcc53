"""`unlearnable train-fastprotect`: learn the patterns that `--method fastprotect` adds, once, for all pictures."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from unlearnable.cli import flags
from unlearnable.cli.ldu import learning, print_report

EXAMPLES = """[bold]Examples[/bold]

unlearnable train-fastprotect many-photos -r -o patterns.safetensors

unlearnable protect photos -o protected --method fastprotect --options patterns=patterns.safetensors

Train on pictures of the kind that you will protect, a hundred or more.
The same command goes on where it was interrupted."""


def train_fastprotect(
    paths: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    against: Annotated[str, typer.Option(help="Encoders whose view is to move; see `encoders list`.")] = "flux2,sd1",
    kinds: Annotated[int, typer.Option(min=1, help="Kinds of pictures, with a pattern each.")] = 4,
    steps: Annotated[int, typer.Option(min=1, help="Ascent steps, of 4 pictures each.")] = 400,
    eps: Annotated[float, typer.Option(min=1, max=255, help="Largest change of a sample, of 255.")] = 8,
    seed: flags.Seed = 0,
    recursive: flags.Recursive = False,
    offline: flags.Offline = False,
    as_json: flags.Json = False,
) -> None:
    """Train the patterns of the method fastprotect on many pictures, so that it needs no model at use."""
    from unlearnable.images.tensors import pictures
    from unlearnable.models.encoders.load import load
    from unlearnable.models.finetune.checkpoint import beside, output
    from unlearnable.protection import patterns

    started, out = time.monotonic(), output(out)
    images, failed = pictures(paths, recursive)
    encoders = load(against, offline=offline)
    with learning() as tell:
        learned = patterns.train(
            images, encoders, count=kinds, steps=steps, eps=eps, seed=seed, progress=tell, state=beside(out)
        )
    learned.save(out, steps=steps, seed=seed, eps=eps, pictures=len(images), against=against)
    seconds = round(time.monotonic() - started, 1)
    print_report({"file": str(out), "pictures": len(images), "seconds": seconds, "failed": failed}, as_json, [])
