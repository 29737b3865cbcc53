"""Files in, purified files out: what an attacker makes of pictures before training on them.

A picture's result depends on that picture, the chain, the model and the seed, never on the others. The journal in the
output folder says what is done, so that the same command resumes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnable.errors import DiskError, PictureError, SetupError, UnlearnableError, UsageError
from unlearnable.inputs import Inputs, path, paths
from unlearnable.jobs.ledger import Ledger
from unlearnable.jobs.result import Meter, Progress, Result, finite
from unlearnable.jobs.sinks import Folder
from unlearnable.models.load import EMBEDDED
from unlearnable.models.offline import going_offline
from unlearnable.storage.atomic import uninterrupted
from unlearnable.storage.journal import stamp
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
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
    meter, inside = Meter(progress, len(pairs)), frozenset(s.resolve() for s, _ in pairs)
    ledger = Ledger(Folder.open(out), digest, meter, overwrite, sources=inside)
    work = Purification(chain, seed, keep_metadata, ledger, bool(options.get("offline")))
    return _results(work, out, pairs, {"run": settings | {"hash": digest}})


def _results(work: Purification, out: Path, pairs: list[tuple[Path, Path]], header: dict[str, Any]) -> Iterator[Result]:
    with alone(out):
        work.ledger.sink.journal.append(header | stamp())
        for source, name in pairs:
            try:
                yield work.one(source, name)
            except (UsageError, SetupError, DiskError):
                raise
            except UnlearnableError as error:
                yield work.ledger.failed(source, error)


@dataclass(frozen=True)
class Purification:
    """The work on each picture of a run."""

    chain: Chain
    seed: int
    keep_metadata: bool
    ledger: Ledger
    offline: bool = False

    def one(self, source: Path, name: Path) -> Result:
        """Purify one picture, unless it was finished before."""
        from unlearnable.images import files
        from unlearnable.protection import sealing

        self.ledger.sink.at(name)
        digest = sealing.digest(source)
        if self.ledger.finished(name, digest):
            return self.ledger.skipped(source, name, digest)
        picture = files.read(source)
        kind, _ = files.output_format(picture.format, plain=picture.plain)
        output = files.output_name(name, kind)
        try:
            path = Path(self.ledger.target(output))
        except UsageError as error:
            raise PictureError(str(error)) from error
        with going_offline(self.offline):
            after = purified(picture, self.chain, self.seed)
        with uninterrupted():
            files.write(after, path, format=kind, keep_metadata=self.keep_metadata, mode=files.mode_of(source))
            entry = {
                "name": name.as_posix(), "input_sha256": digest, "output": output.as_posix(),
                "bytes": path.stat().st_size, "how": self.chain.name,
                "measured": finite(sealing.measure(picture, after)),
            }  # fmt: skip
            line = self.ledger.record(source, entry)
        lost = files.lost(self.keep_metadata and bool(picture.text), kind)
        return self.ledger.written(source, line, "purified", (*picture.notes, *lost))


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
