"""Clean and protected twins through an editor: what a stranger's edits of them have in common, and a report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnable.errors import UsageError, shown
from unlearnable.inputs import path
from unlearnable.jobs.result import finite
from unlearnable.models.load import EMBEDDED
from unlearnable.storage.atomic import write_text
from unlearnable.storage.journal import stamp
from unlearnable.storage.locks import alone

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnable.evaluation.rates import Estimate
    from unlearnable.metrics.features import Features
    from unlearnable.models.base import Model
    from unlearnable.personalization.editor import Editor

REPORT, SHEET = "edit.json", "edits.png"
COLUMNS = 12  # of the sheet


def edit(
    clean: str | Path,
    protected: str | Path,
    out: str | Path,
    *,
    prompt: str,
    editor: Editor | None = None,
    model: Model | str = EMBEDDED,
    mask: str | Path | None = None,
    purify: str = "none",
    seed: int = 0,
    network: Features | None = None,
    recursive: bool = False,
    progress: Callable[[float, int], None] = lambda done, total: None,
    **options: Any,
) -> dict[str, Any]:
    """Edit clean and protected twins (folders that pair by name, or two files) under `prompt`, and judge the edits.

    `mask` is a picture whose light parts are painted anew (inpainting); without it all of the picture is edited.
    `purify` is a chain of countermeasures that the protected pictures and the control go through first. `model` is one,
    or a name for `load_model` with `options`. Written to `out`: every edit, a sheet of the first (a picture a column)
    and the report that is returned. `progress` is called with the pictures that are done and their number. Raises
    UsageError where nothing can be compared.
    """
    import torch

    from unlearnable.evaluation.editing import edits, judged, twins
    from unlearnable.evaluation.material import CONTROL, PROTECTED, small
    from unlearnable.evaluation.pairs import checked
    from unlearnable.images import files, sheet
    from unlearnable.metrics.features import features
    from unlearnable.metrics.pairing import pair
    from unlearnable.models.load import load_model
    from unlearnable.personalization.concept import TOGETHER
    from unlearnable.personalization.editor import Editor
    from unlearnable.purification.chain import parse

    chosen, chain, problems = editor or Editor(), parse(purify), list[str]()
    if not prompt.strip():
        raise UsageError("the prompt is empty: say what the edit should show")
    pairs = list(checked(pair(path(clean), path(protected), recursive), problems))
    if not pairs:
        raise UsageError(problems[0] if problems else f"no picture of {shown(clean)} has a twin in {shown(protected)}")
    painted = files.read(path(mask)) if mask is not None else None
    out = path(out, "output folder")
    with alone(out):  # before anything is computed
        if isinstance(model, str):
            model = load_model(model, **options)
        chosen.check(model)
        asked, ready = model, chain.with_model(model)
        where = None if painted is None else (small(painted, model.size).mean(0, keepdim=True) > 0.5).float()[None]
        kept: list[dict[str, Tensor]] = []

        def parts() -> Iterator[dict[str, Tensor]]:
            """Edits of some pictures, written; the first of them are kept for the sheet."""
            for start in range(0, len(pairs), TOGETHER):
                some = pairs[start : start + TOGETHER]
                progress(start, len(pairs))
                x = twins(some, asked.size, seed)
                others = {kind: ready(x[kind], seed=seed) for kind in (PROTECTED, CONTROL)}
                mask = None if where is None else where.expand(len(some), -1, -1, -1)
                run = partial(chosen, asked, prompt=prompt, keys=[each.content for each in some], mask=mask)
                made = edits(run, x["clean"], others, seed)
                for kind, images in made.items():
                    for each, image in zip(some, images):
                        files.write(sheet.levels(image), out / kind.replace(" ", "-") / f"{each.name}.png")
                if start < COLUMNS:
                    kept.append({"original": x["clean"], "seen": others[PROTECTED], **made})
                yield made

        result = judged(parts(), network or features(device=str(model.device)))
        progress(len(pairs), len(pairs))
        report: dict[str, Any] = {
            "prompt": prompt, "editor": asdict(chosen), "inpainting": where is not None, "purify": chain.name,
            "seed": seed, "model": model.name, "pictures": [each.name for each in pairs], "problems": problems,
            "distances": {
                kind: {name: interval(estimate) for name, estimate in row.items()}
                for kind, row in result.distances.items()
            },
            "over_control": interval(result.over_control), "sentence": result.sentence,
        }  # fmt: skip
        rows = [torch.cat([part[kind] for part in kept]) for kind in kept[0]]
        sheet.write(rows, out / SHEET)
        write_text(out / REPORT, json.dumps(report | stamp(), indent=1) + "\n")
    return report


def interval(estimate: Estimate) -> dict[str, float | None]:
    return finite({"mean": estimate.value, "low": estimate.low, "high": estimate.high})
