"""Pictures in, a learned concept out: one attacker on some pictures, resumable, and a report of what it learned."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnable.errors import UsageError, suggestion
from unlearnable.inputs import Inputs, path, paths
from unlearnable.models.load import EMBEDDED
from unlearnable.storage.atomic import write_text
from unlearnable.storage.journal import stamp
from unlearnable.storage.locks import alone

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnable.models.base import Model
    from unlearnable.personalization.concept import Concept

Progress = Callable[[int, int, float], None]
TRAINING, REPORT, SHEET = "training.safetensors", "personalize.json", "samples.png"


@dataclass(frozen=True)
class Learned:
    """The `concept`, the `report` that was written beside it, and the pictures that could not be read."""

    folder: Path
    concept: Concept
    report: dict[str, Any]
    failed: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        return list(self.report["notes"])


def personalize(
    inputs: Inputs,
    out: str | Path,
    *,
    attack: str = "dreambooth",
    prompt: str = "a photo of sks",
    model: Model | str = EMBEDDED,
    preset: str = "auto",
    settings: dict[str, Any] | None = None,
    seed: int = 0,
    held_out: Inputs = (),
    class_images: Inputs = (),
    samples: int = 8,
    recursive: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> Learned:
    """Learn pictures (a path, or several) as an attacker would, and write to the folder `out` what was learned.

    `attack` is one of `registry.names("attacker")`, `preset` one of its presets (auto: by the model's size), `settings`
    replaces fields of that (steps, lr, ...). `prompt` names the subject by the attacker's token, `sks`. `model` is one,
    or a name for `load_model` with `options`. `held_out` are clean pictures of the subject that are not trained on,
    `class_images` switch prior preservation on. A text file of a picture's name beside it (``x.txt`` by ``x.png``) is
    that picture's caption, and is learned in place of the prompt.

    Written: the concept (see `Concept.save`), `samples` pictures of it with a sheet, a report with the loss on the
    pictures before and after, and the training's checkpoint: to resume, call it again, and it ends with the same bits.
    A picture that cannot be read is named in the report, and the others go on. Raises UsageError, SetupError, or
    PictureError if no picture can be read, or a caption is empty.
    """
    from unlearnable.images.captions import caption
    from unlearnable.images.tensors import by_path, pictures

    check(attack, preset, settings or {}, prompt, model, options)
    out, started = path(out, "output folder"), time.monotonic()
    opened, unread = by_path(paths(inputs), recursive, out)
    captions, training = [caption(source) for source in opened], list(opened.values())
    held_out_pictures, unread_held_out = pictures(paths(held_out), recursive) if held_out else ([], [])
    class_pictures, unread_class = pictures(paths(class_images), recursive) if class_images else ([], [])
    with alone(out):
        return _learned(
            out, training, captions, held_out_pictures, class_pictures, [*unread, *unread_held_out, *unread_class],
            attack, prompt, model, preset, settings or {}, seed, samples, progress, options, started,
        )  # fmt: skip


def check(
    attack: str, preset: str, settings: dict[str, Any], prompt: str, model: Model | str, options: dict[str, Any]
) -> None:
    """Raise UsageError or SetupError for what can be known to be wrong before any model is loaded."""
    from unlearnable.models.load import checked, has_text
    from unlearnable.personalization.presets import adjusted, presets
    from unlearnable.personalization.prompts import holding

    available = presets(attack)
    if preset != "auto" and preset not in available:
        raise UsageError(f"unknown preset {preset!r} of {attack}: {suggestion(preset, ['auto', *available])}")
    attacker = adjusted(available.get(preset) or next(iter(available.values())), settings)
    if isinstance(model, str):
        checked(model, options.get("device", "auto"), options.get("dtype", "auto"), options.get("revision"))
        if attacker.token and has_text(model):
            holding(prompt, attacker.token)


def _learned(
    out: Path, training: list[Tensor], captions: list[str | None], held_out: list[Tensor],
    class_pictures: list[Tensor], unreadable: list[str], attack: str, prompt: str, model: Model | str, preset: str,
    settings: dict[str, Any], seed: int, samples: int, progress: Progress | None, options: dict[str, Any],
    started: float,
) -> Learned:  # fmt: skip
    """`personalize`, in a folder that this run has for itself."""
    from unlearnable.images.tensors import squares
    from unlearnable.personalization.presets import adjusted, attacker

    if isinstance(model, str):
        from unlearnable.models.load import load_model

        model = load_model(model, **options)
    chosen = adjusted(attacker(attack, model, preset), settings)
    chosen.check(model, prompt)
    concept = chosen.fit(
        model, squares(training, model.size), prompt, seed=seed,
        class_images=squares(class_pictures, model.size) if class_pictures else None,
        captions=captions, checkpoint=out / TRAINING, progress=progress,
    )  # fmt: skip
    concept.save(out)
    report: dict[str, Any] = {
        "attack": attack, "settings": asdict(chosen), "prompt": prompt, "seed": seed, "model": model.name,
        "pictures": len(training), "captions": sum(text is not None for text in captions),
        "class_pictures": len(class_pictures) or chosen.class_pictures, "unreadable": unreadable, "notes": [],
        "samples": samples,
        "seconds": round(time.monotonic() - started, 1), "peak_memory_mb": peak(),
    }  # fmt: skip
    examine(report, model, concept, squares(training, model.size), squares(held_out, model.size) if held_out else None)
    draw(out, model, concept, squares(training, model.size), samples, seed)
    write_text(out / REPORT, json.dumps(report | stamp(), indent=1) + "\n")
    return Learned(out, concept, report, tuple(report["unreadable"]))


def examine(report: dict[str, Any], model: Model, concept: Concept, training: Tensor, held_out: Tensor | None) -> None:
    """Add to the report how much was learned, and doubts."""
    from unlearnable.personalization.learned import fit_of, warning

    fit = fit_of(model, concept, training, seed=report["seed"])
    report["fit"] = asdict(fit)
    if doubt := warning(fit):
        report["notes"].append(doubt)
    if len(training) == 1:
        report["notes"].append("one picture only: that picture is learned rather than its subject; give 4 or more")
    if held_out is not None:
        report["held_out"] = asdict(fit_of(model, concept, held_out, seed=report["seed"]))


def draw(out: Path, model: Model, concept: Concept, training: Tensor, samples: int, seed: int) -> None:
    """Write generated pictures one by one, and a sheet of them under pictures that were learned."""
    from unlearnable.images import files, sheet

    if not samples:
        return
    generated = concept.generate([concept.prompt] * samples, seed=seed)
    for i, x in enumerate(generated):
        files.write(sheet.levels(x), out / "samples" / f"{i:02}.png")
    rows = [training[:8].cpu(), *generated.split(8)]
    sheet.write(rows, out / SHEET)


def peak() -> int | None:
    """Most memory this process has held so far, in MB; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most / (2**20 if sys.platform == "darwin" else 2**10))
