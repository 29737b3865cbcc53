"""`unlearnable personalize`: train an attacker on picture files."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unlearnable.cli import flags
from unlearnable.cli.lists import listing
from unlearnable.inputs import TRAINING, assignments, paths, setting

if TYPE_CHECKING:
    from unlearnable.jobs.personalize import Learned

EXAMPLES = """[bold]Examples[/bold]

unlearnable personalize photos -o learned --prompt "a photo of sks dog"

unlearnable personalize photos -o learned --attack lora --held-out others --steps 400 --set rank=16

A run that was interrupted goes on when the same command is given again."""


@dataclass(frozen=True)
class Changes:
    """An attacker's settings that have a flag each; `--set` takes all."""

    steps: int | None = setting(None, "Training steps, in place of the preset's.", TRAINING)
    lr: float | None = setting(None, "Learning rate, in place of the preset's.", TRAINING)
    batch: int | None = setting(None, "Pictures a step, in place of the preset's.", TRAINING)
    token: str | None = setting(None, "Word for the subject in the prompt, in place of sks.", TRAINING)


@flags.with_settings(changes=Changes, loading=flags.Loading)
def personalize(
    inputs: Annotated[list[str], typer.Argument(help="Pictures or folders of pictures of one subject.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for what is learned; made if need be.")],
    attack: Annotated[str, typer.Option(help="Attacker; see --list.")] = "dreambooth",
    prompt: Annotated[str, typer.Option(help="What the pictures show, the subject as sks.")] = "a photo of sks",
    preset: Annotated[str, typer.Option(help="auto (by the model's size), paper or embedded.")] = "auto",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Another setting, e.g. text_lr=5e-7, rank=16, augment=true.")
    ] = None,
    held_out: Annotated[Path | None, typer.Option(help="Other clean pictures of the subject, to test on.")] = None,
    class_images: Annotated[Path | None, typer.Option(help="Pictures of the class, for prior preservation.")] = None,
    samples: Annotated[int, typer.Option(min=0, help="How many pictures to generate.")] = 8,
    seed: flags.Seed = 0,
    recursive: flags.Recursive = False,
    as_json: flags.Json = False,
    show: Annotated[
        bool, typer.Option("--list", callback=listing("attacker"), is_eager=True, help="List the attackers and stop.")
    ] = False,
    changes: Any = None,
    loading: Any = None,
) -> None:
    """Train an attacker on pictures, to see what it learns from them; on your own pictures only."""
    from unlearnable.cli import protect as cli_protect
    from unlearnable.jobs import personalize as personalizing

    named = [*paths(inputs), *(folder for folder in (held_out, class_images) if folder)]
    cli_protect.tell_unaccepted(named, recursive, out, False)

    def kept() -> str:
        resumable = (out / personalizing.TRAINING).exists()
        return "the same command goes on from its checkpoint" if resumable else "nothing was kept yet"

    with cli_protect.interruptible(kept), cli_protect.bar("learning") as tell:
        learned = personalizing.personalize(
            inputs, out, attack=attack, prompt=prompt, preset=preset, seed=seed, samples=samples,
            settings=parsed(settings or []) | changes,
            held_out=[held_out] if held_out else (), class_images=[class_images] if class_images else (),
            recursive=recursive, progress=lambda done, total, loss: tell(done, total), **loading,
        )  # fmt: skip
    report(learned, as_json)
    if learned.failed:
        raise typer.Exit(1)


def parsed(settings: list[str]) -> dict[str, Any]:
    """The dictionary of texts such as ``["rank=16", "initial=red dog"]``; values may be JSON."""
    values: dict[str, Any] = {}
    for name, value in assignments(settings, "--set").items():
        try:
            values[name] = json.loads(value)
        except json.JSONDecodeError:
            values[name] = value
    return values


def report(learned: Learned, as_json: bool) -> None:
    """Print the outcome to stdout, and unreadable files and doubts to stderr."""
    from unlearnable.cli.protect import talk
    from unlearnable.errors import shown
    from unlearnable.jobs import personalize as personalizing

    for message in learned.failed:
        talk.print(f"failed: {message}", style="red", markup=False)
    facts = learned.report
    if as_json:
        sys.stdout.write(json.dumps(facts) + "\n")
    else:
        pictures = "1 picture" if facts["pictures"] == 1 else f"{facts['pictures']} pictures"
        captions = f", {facts['captions']} by captions of their own" if facts["captions"] else ""
        sys.stdout.write(f"{facts['attack']}: {pictures} learned as {facts['prompt']!r}{captions}\n")
        for what, name in (("fit", "its own pictures"), ("held_out", "held-out pictures")):
            if what in facts:
                before, after = facts[what]["before"], facts[what]["after"]
                sys.stdout.write(
                    f"loss on {name}: {before:.4f} before, {after:.4f} after ({after / before - 1:+.1%})\n"
                )
        sheet = f", samples in {personalizing.SHEET}" if facts["samples"] else ""
        sys.stdout.write(f"{shown(learned.folder)}  ({facts['seconds']:g} s{sheet})\n")
    for note in learned.notes:
        talk.print(f"note: {note}", style="yellow", markup=False)
