"""Files in, purified files out: what an attacker makes of pictures before training on them.

A picture's result depends on that picture, the chain, the model and the seed, never on the others. The journal in the
output folder says what is done, so that the same command goes on where it was stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnable.errors import DiskError, PictureError, SetupError, UnlearnableError, UsageError, shown
from unlearnable.inputs import Inputs, path, paths
from unlearnable.jobs.run import Progress, Result, finite, present
from unlearnable.models.load import EMBEDDED
from unlearnable.models.offline import going_offline
from unlearnable.storage.atomic import uninterrupted
from unlearnable.storage.journal import Journal, stamp
from unlearnable.storage.locks import alone

if TYPE_CHECKING:
    from unlearnable.models.base import Model
    from unlearnable.purification.chain import Chain


def purify(
    inputs: Inputs,
    out: str | Path,
    how: str = "jpeg:75",
    *,
    model: Model | str | None = None,
    seed: int = 0,
    recursive: bool = False,
    overwrite: bool = False,
    keep_metadata: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Iterator[Result]:
    """Purify files and folders (a path, or several), yielding a `Result` for each picture as it is done.

    `how` is a chain such as "jpeg:75+resize:0.5" (`purification.chain.parse`). Outputs keep name, size, alpha and
    colour profile, and are lossless files (the input's own format where that can be, else PNG), so that what is lost is
    the chain's doing. A grey picture stays grey. `model`, or the model of that name, is used (and loaded, with the
    `options` of `load_model`) only if the chain needs one; the embedded one by default. Folders are mirrored under
    `out`; finished files are skipped by (content, chain, model, seed) unless `overwrite`. A bad picture is a failed
    result; UsageError and SetupError end the run.
    """
    from unlearnable.images import files
    from unlearnable.purification.chain import parse

    chain, out = parse(how), path(out, "output folder")
    pairs = files.find(paths(inputs), recursive, out)
    named = (EMBEDDED if model is None else model) if chain.needs_model else None
    if isinstance(named, str):
        from unlearnable.models.load import load_model

        named = load_model(named, **options)
    if named is not None:
        chain = chain.with_model(named)
    settings = {
        "how": chain.name, "seed": seed, "model": named and named.name, "keep_metadata": keep_metadata,
        "revision": options.get("revision"),
    }  # fmt: skip
    known = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    run = _Run(
        chain,
        out,
        settings,
        known,
        overwrite,
        {s.resolve() for s, _ in pairs},
        Journal.open(out),
        bool(options.get("offline")),
    )
    return _results(run, pairs, progress)


def _results(run: _Run, pairs: list[tuple[Path, Path]], progress: Progress | None) -> Iterator[Result]:
    with alone(run.out):
        run.journal.append({"run": run.settings | {"hash": run.hash}} | stamp())
        yield from _each(run, pairs, progress)


def _each(run: _Run, pairs: list[tuple[Path, Path]], progress: Progress | None) -> Iterator[Result]:
    for done, (source, name) in enumerate(pairs, 1):
        try:
            with going_offline(run.offline):
                result = run.one(source, name)
            yield result
        except (UsageError, SetupError, DiskError):
            raise
        except UnlearnableError as error:
            yield Result(source, "failed", message=str(error))
        if progress:
            progress(done, len(pairs))


@dataclass(frozen=True)
class _Run:
    chain: Chain
    out: Path
    settings: dict[str, Any]
    hash: str
    overwrite: bool
    sources: set[Path]
    journal: Journal
    offline: bool = False

    def one(self, source: Path, name: Path) -> Result:
        from unlearnable.images import files
        from unlearnable.protection import sealing as work

        files.target(self.out, name)
        digest = work.digest(source)
        entry = self.journal.done.get((name.as_posix(), digest, self.hash))
        if entry and not self.overwrite and present(self.out, entry):
            return Result(source, "skipped", self.out / entry["output"], "finished before", entry["measured"])
        picture = files.read(source)
        kind, _ = files.output_format(picture.format, plain=picture.plain)
        path = files.target(self.out, files.output_name(name, kind))
        if path.resolve() in self.sources:  # a file whose name lies about its format slips past `find`
            raise PictureError(f"{shown(path)} is one of the inputs: choose another output folder with -o")
        after = purified(picture, self.chain, self.settings["seed"])
        keep = self.settings["keep_metadata"]
        with uninterrupted():
            files.write(after, path, format=kind, keep_metadata=keep, mode=files.like(source))
            measured = work.measure(picture, after)
            entry = {
                "name": name.as_posix(), "input_sha256": digest, "recipe_hash": self.hash, "source": str(source),
                "output": path.relative_to(self.out).as_posix(), "bytes": path.stat().st_size, "how": self.chain.name,
                "measured": finite(measured),
            }  # fmt: skip
            self.journal.append(entry)
        return Result(
            source,
            "purified",
            path,
            measured=measured,
            notes=(*picture.notes, *files.lost(keep and bool(picture.text), kind)),
        )


def purified(picture: Any, chain: Chain, seed: int) -> Any:
    """A decoded picture through a chain."""
    import numpy as np
    import torch

    from unlearnable.images.tensors import tensor

    x = chain(tensor(picture.pixels)[None] / 255, seed)[0]
    pixels = (x * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    if picture.grey:
        pixels = np.rint(pixels.mean(2, keepdims=True)).astype(np.uint8).repeat(3, axis=2)
    return replace(picture, pixels=np.ascontiguousarray(pixels))
