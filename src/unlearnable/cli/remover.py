"""`unlearnable train-remover`: the attacker who has the protection, and learns from it how to undo it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from unlearnable.cli import flags
from unlearnable.cli.ldu import learning, print_report

EXAMPLES = """[bold]Examples[/bold]

unlearnable protect others -r -o others-protected --method mist

unlearnable train-remover others others-protected -o remover.safetensors

unlearnable purify protected -o cleaned --how remover:1:file=remover.safetensors

Train on pictures that are not those it is tried on; it fits the method and the strength it has seen.
The same command goes on where it was interrupted."""


def train_remover(
    clean: Annotated[Path, typer.Argument(help="A folder of pictures.")],
    protected: Annotated[Path, typer.Argument(help="Their protected twins, named alike.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    steps: Annotated[int, typer.Option(min=1, help="Training steps, of 8 crops each.")] = 2000,
    seed: flags.Seed = 0,
    recursive: flags.Recursive = False,
    as_json: flags.Json = False,
) -> None:
    """Train the countermeasure remover, a network that takes a protection off, on other pictures' twins."""
    from unlearnable.images import files
    from unlearnable.images.tensors import tensor
    from unlearnable.metrics.pairing import pair
    from unlearnable.models.finetune.checkpoint import beside, output
    from unlearnable.purification import remover

    started, out = time.monotonic(), output(out)
    twins = pair(clean, protected, recursive)
    pairs = [
        (tensor(files.read(original).pixels) / 255, tensor(files.read(twin).pixels) / 255)
        for original, twin in twins.pairs.values()
    ]
    with learning() as tell:
        network = remover.train(pairs, steps, seed, progress=tell, state=beside(out))
    remover.save(network, out, steps=steps, seed=seed, pictures=len(pairs))
    seconds = round(time.monotonic() - started, 1)
    print_report({"file": str(out), "pictures": len(pairs), "seconds": seconds, "failed": []}, as_json, [])
