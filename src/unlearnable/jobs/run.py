"""One path for one picture or a million: a run is planned, an executor works on it, a ledger keeps what is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from unlearnable.errors import PictureError, UsageError, shown
from unlearnable.images import files
from unlearnable.jobs.ledger import Ledger
from unlearnable.jobs.plan import Planner
from unlearnable.jobs.result import Meter, Progress
from unlearnable.jobs.sinks import Folder
from unlearnable.models.load import checked
from unlearnable.models.offline import going_offline
from unlearnable.protection.sealing import sizes
from unlearnable.recipe import Recipe
from unlearnable.storage.journal import stamp

if TYPE_CHECKING:
    from unlearnable.models.base import Model


def check(recipe: Recipe, pairs: list[tuple[Path, Path]], mask: Path | None) -> None:
    """Raise UsageError or SetupError for what can be known to be wrong before anything is computed.

    A wrong method, budget, device or file format; a mask that is not there, cannot be read, or fits no picture.
    """
    if against := recipe.protection().against:
        from unlearnable.models.encoders import families

        families.check(against.encoders)
        if recipe.surrogate:
            raise UsageError(
                f"encoders ({against.encoders}) have no part in a game over a data set: leave out one of the two"
            )
    checked(recipe.model, recipe.device, recipe.dtype, recipe.revision)
    if mask is None:
        return
    if not mask.exists():
        raise UsageError(f"the mask {shown(mask)} does not exist: check the name")
    if mask.is_dir():
        return
    from unlearnable.images.header import dimensions

    try:
        size = files.read(mask).pixels.shape[:2]
    except PictureError as error:
        raise UsageError(f"the mask cannot be used: {error}") from error
    sizes = [(source, extent) for source, _ in pairs if (extent := dimensions(source))]  # of a turned one, unturned
    if sizes and not any(size in (extent, extent[::-1]) for _, extent in sizes):
        source, (height, width) = sizes[0]
        raise UsageError(
            f"the mask {shown(mask)} is {size[1]} x {size[0]} px and fits no picture, such as {shown(source)} with "
            f"{width} x {height}: make it the picture's size, or give a folder of masks"
        )


Remark = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """The pictures of a run, with their names below `out`, and how they are protected.

    `out` is the folder of this machine that the run holds alone until it ends.
    """

    pairs: list[tuple[Path, Path]]
    out: Path
    recipe: Recipe
    mask: Path | None
    ledger: Ledger

    @classmethod
    def open(
        cls, inputs: list[Path], out: Path, recipe: Recipe, mask: Path | None, recursive: bool, overwrite: bool,
        progress: Progress | None,
    ) -> Run:  # fmt: skip
        """Find the pictures; raises UsageError or SetupError for what can be known to be wrong."""
        pairs = files.find(inputs, recursive, out, recipe.pillow_format)
        check(recipe, pairs, mask)
        sources = frozenset(source.resolve() for source, _ in pairs)
        meter = Meter(progress, len(pairs))
        return cls(pairs, out, recipe, mask, Ledger(Folder.open(out), recipe.hash, meter, overwrite, sources=sources))

    def begin(self, model: Model | None, remark: Remark) -> Model:
        """The model, loaded if need be; the journal knows of the run."""
        r, model = self.recipe, model or loaded(self.recipe)
        with going_offline(r.offline):  # a method may name encoders, which are loaded here
            text = r.protection().remark(model)
        self.ledger.sink.journal.append(header(r, model, text))
        if text:
            remark(text)
        return model

    def planner(self, model: Model) -> Planner:
        scale = sizes(model, self.recipe.resolution, self.recipe.protection().side)
        return Planner(self.pairs, self.recipe, self.mask, scale, self.ledger)


def loaded(r: Recipe) -> Model:
    """The recipe's model; for a method that asks it nothing its outline, which no library need be imported for."""
    from unlearnable.models.load import load_model
    from unlearnable.models.outline import outline

    if not r.protection().asks_model and not r.revision and (light := outline(r.model, r.device)):
        return cast("Model", light)
    options = ("device", "dtype", "revision", "offline", "checkpointing")
    return load_model(r.model, **{name: getattr(r, name) for name in options})


def header(recipe: Recipe, model: Model, remark: str) -> dict[str, Any]:
    """The journal's line for a run: the resolved recipe, the versions and the machine."""
    return {
        "run": asdict(recipe) | {"hash": recipe.hash},
        "budget": recipe.protection().constraint.describe(),
        "remark": remark,
        "model": {"name": model.name, "family": model.family, "device": str(model.device), "amp": str(model.amp)},
    } | stamp()
