"""Clean and protected twins through an editor: what a stranger's edits of them have in common, and a report."""

from __future__ import annotations

import json
from dataclasses import asdict
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
    **options: Any,
) -> dict[str, Any]:
    """Edit clean and protected twins (folders that pair by name, or two files) under `prompt`, and judge the edits.

    `mask` is a picture whose light parts are painted anew (inpainting); without it all of the picture is edited.
    `purify` is a chain of countermeasures that the protected pictures and the control go through first. `model` is one,
    or a name for `load_model` with `options`. Written to `out`: every edit, a sheet of them (a picture a column) and
    the report that is returned. Raises UsageError where nothing can be compared.
    """
    import torch

    from unlearnable.evaluation.control import control
    from unlearnable.evaluation.editing import judged
    from unlearnable.evaluation.material import CONTROL, PROTECTED, small
    from unlearnable.evaluation.pairs import checked
    from unlearnable.images import files, sheet
    from unlearnable.metrics.features import features
    from unlearnable.metrics.pairing import pair
    from unlearnable.models.load import load_model
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
        kinds: dict[str, list[Tensor]] = {"clean": [], PROTECTED: [], CONTROL: []}
        for each in pairs:
            before, after = files.read(each.clean), files.read(each.protected)
            noise = files.Picture(control(before.pixels, after.pixels, model.size, seed, each.content))
            for images, picture in zip(kinds.values(), (before, after, noise)):
                images.append(small(picture, model.size))
        x = {kind: torch.stack(images) for kind, images in kinds.items()}
        ready = chain.with_model(model)
        others = {kind: ready(x[kind], seed=seed) for kind in (PROTECTED, CONTROL)}
        where = None
        if painted is not None:
            where = (small(painted, model.size).mean(0, keepdim=True) > 0.5).float().expand(len(pairs), 1, -1, -1)
        names, asked = [each.content for each in pairs], model

        def run(images: Tensor, number: int) -> Tensor:
            return chosen(asked, images, prompt, seed=number, keys=names, mask=where)

        result = judged(run, x["clean"], others, seed, network or features(device=str(model.device)))
        report: dict[str, Any] = {
            "prompt": prompt, "editor": asdict(chosen), "inpainting": where is not None, "purify": chain.name,
            "seed": seed, "model": model.name, "pictures": [each.name for each in pairs], "problems": problems,
            "distances": {
                kind: {name: interval(estimate) for name, estimate in row.items()}
                for kind, row in result.distances.items()
            },
            "over_control": interval(result.over_control), "sentence": result.sentence,
        }  # fmt: skip
        for kind, made in result.edits.items():
            for each, image in zip(pairs, made):
                files.write(sheet.levels(image), out / kind.replace(" ", "-") / f"{each.name}.png")
        sheet.write([x["clean"], others[PROTECTED], *result.edits.values()], out / SHEET)
        write_text(out / REPORT, json.dumps(report | stamp(), indent=1) + "\n")
    return report


def interval(estimate: Estimate) -> dict[str, float | None]:
    return finite({"mean": estimate.value, "low": estimate.low, "high": estimate.high})
