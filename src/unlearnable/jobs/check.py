"""What can be known to be wrong before anything is computed."""

from __future__ import annotations

from pathlib import Path

from unlearnable.errors import PictureError, UsageError, shown
from unlearnable.models.load import checked
from unlearnable.recipe import Recipe


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
    from unlearnable.images import files
    from unlearnable.images.header import dimensions

    try:
        size = files.read(mask).pixels.shape[:2]
    except PictureError as error:
        raise UsageError(f"the mask cannot be used: {error}") from error
    sizes = [(source, extent) for source, _ in pairs if (extent := dimensions(source))]
    if sizes and not any(size in (extent, extent[::-1]) for _, extent in sizes):  # a turned picture shows as it lies
        source, (height, width) = sizes[0]
        raise UsageError(
            f"the mask {shown(mask)} is {size[1]} x {size[0]} px and fits no picture, such as {shown(source)} with "
            f"{width} x {height}: make it the picture's size, or give a folder of masks"
        )
