"""`unlearnable purify`: apply countermeasures to picture files."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from unlearnable.cli import flags
from unlearnable.cli.lists import listing
from unlearnable.inputs import paths

EXAMPLES = """[bold]Examples[/bold]

unlearnable purify protected -o purified --how jpeg:75+resize:0.5

unlearnable purify protected -o purified --how diffpure:0.1 --model stable-diffusion-v1-5/stable-diffusion-v1-5

A purifier is its name, or name:strength, or name:strength:setting=value; + joins them to a chain.

A model is loaded only for a chain that needs one."""


@flags.with_settings(loading=flags.Loading)
def purify(
    inputs: Annotated[list[str], typer.Argument(help="Pictures or folders of pictures.")],
    out: flags.Out,
    how: Annotated[str, typer.Option(help="Chain such as jpeg:75+resize:0.5; see --list.")] = "jpeg:75",
    seed: flags.Seed = 0,
    keep_metadata: flags.KeepMetadata = False,
    recursive: flags.Recursive = False,
    overwrite: flags.Overwrite = False,
    as_json: flags.JsonLines = False,
    show: Annotated[
        bool, typer.Option("--list", callback=listing("purifier"), is_eager=True, help="List the purifiers and stop.")
    ] = False,
    loading: Any = None,
) -> None:
    """Do to pictures what an attacker does before training on them: JPEG, resizing, DiffPure and the like."""
    from unlearnable.cli import protect as cli_protect
    from unlearnable.errors import shown
    from unlearnable.jobs import purify as purifying

    counts = {"purified": 0, "skipped": 0, "failed": 0}
    options: dict[str, Any] = {"recursive": recursive, "overwrite": overwrite, "keep_metadata": keep_metadata}
    cli_protect.tell_unaccepted(paths(inputs), recursive, out, as_json)
    with cli_protect.counted(out), cli_protect.bar("purifying") as tell:
        for result in purifying.purify(inputs, out, how, seed=seed, progress=tell, **options, **loading):
            counts[result.status] += 1
            cli_protect.show(result, as_json)
    summary = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    cli_protect.talk.print(f"{summary}; journal in {shown(out)}", markup=False)
    if counts["failed"]:
        raise typer.Exit(1)
