"""Native size: cut a picture of any size into views that a model can take, and blend their changes into one.

A model needs about `resolution` px and sides that are multiples of 8 or more; pictures have any size. `plan` decides
how a picture is shown to the model, `cut` makes the views, and `merge` turns the changes of the views into one change
of the picture, without seams and never larger than the largest change of a view.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from unlearnable.errors import UsageError

_STRIP = 16
"""A long strip may take this many times resolution**2 pixels before it is squeezed lengthwise."""


@dataclass(frozen=True)
class Tile:
    """Top left corner of a tile, in pixels of the working canvas."""

    top: int
    left: int


@dataclass(frozen=True)
class Canvas:
    """The plan of a picture of `height` x `width` px in tiles for a model; all numbers in pixels.

    The picture is scaled to the working size, `work_height` x `work_width`. Along a side that is shorter than the tile
    it is then padded at the end by reflection; along the other sides the tiles overlap, evenly spaced.
    """

    height: int
    width: int
    work_height: int
    work_width: int
    tile_height: int
    tile_width: int
    tiles: tuple[Tile, ...]

    @property
    def native(self) -> bool:
        """Whether the working size is the picture's own, so that nothing is resampled."""
        return (self.height, self.width) == (self.work_height, self.work_width)

    @property
    def seen(self) -> int:
        """Pixels of all tiles together, by which the work on pictures compares."""
        return len(self.tiles) * self.tile_height * self.tile_width

    @property
    def tops(self) -> tuple[int, ...]:
        return tuple(sorted({tile.top for tile in self.tiles}))

    @property
    def lefts(self) -> tuple[int, ...]:
        return tuple(sorted({tile.left for tile in self.tiles}))


def plan(
    height: int, width: int, *, resolution: int, tile: int, multiple: int, overlap: int | None = None, minimum: int = 64
) -> Canvas:
    """Return the canvas for a picture of `height` x `width` px.

    resolution  the model's side: the picture is scaled down to at most resolution**2 pixels, and up only ...
    minimum     ... where its shorter side would have fewer pixels than this
    tile        longest side of a tile, a multiple of `multiple`; a side that fits into it takes one tile, rounded up
    multiple    what the sides of a tile must be multiples of
    overlap     least overlap of neighbouring tiles, default a quarter of `tile`

    The proportions are kept, except for strips so long that the shorter side's minimum would make them more than 16
    times resolution**2 pixels: these are squeezed lengthwise. Raises UsageError for sizes that contradict each other.
    """
    overlap = tile // 4 if overlap is None else overlap
    if min(height, width, resolution, tile, multiple, minimum) < 1 or tile % multiple or not 0 <= overlap < tile:
        raise UsageError(
            f"cannot cut {height} x {width} px (resolution {resolution}) into tiles of {tile} px, overlap {overlap}; "
            f"choose positive sizes, a tile that is a multiple of {multiple} and an overlap smaller than the tile"
        )
    minimum = max(minimum, multiple)  # padding by reflection needs more picture than padding
    scale = min(1.0, resolution / math.sqrt(height * width))
    scale = max(scale, minimum / min(height, width)) if scale * min(height, width) < minimum else scale
    short = max(minimum, math.floor(min(height, width) * scale))
    long = max(short, min(math.floor(max(height, width) * scale), _STRIP * resolution**2 // short))
    work_height, work_width = (short, long) if height <= width else (long, short)
    tile_height, tops = _tile_offsets(work_height, tile, multiple, overlap)
    tile_width, lefts = _tile_offsets(work_width, tile, multiple, overlap)
    tiles = tuple(Tile(top, left) for top in tops for left in lefts)
    return Canvas(height, width, work_height, work_width, tile_height, tile_width, tiles)


def cut(canvas: Canvas, image: Tensor) -> Tensor:
    """Return the views [n, 3, tile_height, tile_width] of an image [3, height, width]; differentiable."""
    if tuple(image.shape[-2:]) != (canvas.height, canvas.width) or image.ndim != 3:
        raise ValueError(f"the canvas is for [3, {canvas.height}, {canvas.width}], not {list(image.shape)}")
    work = _resize(image[None], canvas.work_height, canvas.work_width)
    below = max(0, canvas.tile_height - canvas.work_height)
    right = max(0, canvas.tile_width - canvas.work_width)
    if below or right:
        work = F.pad(work, (0, right, 0, below), mode="reflect")
    bottom, end = canvas.tile_height, canvas.tile_width
    return torch.cat([work[..., t.top : t.top + bottom, t.left : t.left + end] for t in canvas.tiles])


def merge(canvas: Canvas, deltas: Tensor) -> Tensor:
    """Return one change [3, height, width] made of the changes of the views, `deltas` [n, 3, tile_height, tile_width].

    Overlapping tiles are blended with raised-cosine weights that sum to one, padding is cropped, and the result is
    scaled to the picture's size. Every value lies within the range of `deltas`, so a budget that holds for each view
    holds for the picture. With a single tile and no scaling the values come back bit by bit. Differentiable.
    """
    expected = (len(canvas.tiles), canvas.tile_height, canvas.tile_width)
    if deltas.ndim != 4 or (len(deltas), *deltas.shape[-2:]) != expected:
        raise ValueError(f"the canvas has {expected[0]} views of {expected[1:]}, not {list(deltas.shape)}")
    deltas = deltas.float() if deltas.dtype in (torch.float16, torch.bfloat16) and len(deltas) > 1 else deltas
    low, high = deltas.detach().amin(), deltas.detach().amax()
    if len(deltas) == 1:
        work = deltas[..., : canvas.work_height, : canvas.work_width]
        return work[0] if canvas.native else _within(_resize(work, canvas.height, canvas.width), low, high)[0]
    down = _windows(canvas.tops, canvas.tile_height).to(deltas)
    across = _windows(canvas.lefts, canvas.tile_width).to(deltas)
    padded = max(canvas.tile_height, canvas.work_height), max(canvas.tile_width, canvas.work_width)
    work = deltas.new_zeros((1, deltas.shape[1], *padded))
    for number, tile in enumerate(canvas.tiles):
        row, column = divmod(number, len(across))
        weight = down[row, :, None] * across[column, None, :]
        region = work[..., tile.top : tile.top + canvas.tile_height, tile.left : tile.left + canvas.tile_width]
        region += deltas[number] * weight
    work = work[..., : canvas.work_height, : canvas.work_width]
    return _within(_resize(work, canvas.height, canvas.width), low, high)[0]


def _tile_offsets(length: int, tile: int, multiple: int, overlap: int) -> tuple[int, list[int]]:
    """Return the side of the tiles along one axis and where each starts."""
    if length <= tile:
        return math.ceil(length / multiple) * multiple, [0]
    count = math.ceil((length - overlap) / (tile - overlap))
    return tile, [number * (length - tile) // (count - 1) for number in range(count)]


def _windows(starts: tuple[int, ...], side: int) -> Tensor:
    """Return weights [n, side] for tiles along one axis: a raised cosine over each overlap, summing to one."""
    windows = torch.ones(len(starts), side, dtype=torch.float64)
    for number, (start, following) in enumerate(pairwise(starts)):
        shared = start + side - following
        ramp = torch.sin(math.pi / 2 * (torch.arange(shared, dtype=torch.float64) + 0.5) / shared) ** 2
        windows[number + 1, :shared] *= ramp
        windows[number, side - shared :] *= ramp.flip(0)
    total = torch.zeros(starts[-1] + side, dtype=torch.float64)
    for start, window in zip(starts, windows):
        total[start : start + side] += window
    return torch.stack([window / total[start : start + side] for start, window in zip(starts, windows)])


def _resize(images: Tensor, height: int, width: int) -> Tensor:
    """Resize bilinearly, averaging over the covered area on the way down: no weight is negative, so none overshoots."""
    if tuple(images.shape[-2:]) == (height, width):
        return images
    smaller = height < images.shape[-2] or width < images.shape[-1]
    if smaller:  # CUDA's averaging kernel fails beyond a factor of about 90 (pytorch issue 103589): go in two steps
        halfway = min(images.shape[-2], 64 * height), min(images.shape[-1], 64 * width)
        if halfway != tuple(images.shape[-2:]):
            images = F.interpolate(images, size=halfway, mode="bilinear", align_corners=False, antialias=True)
    return F.interpolate(images, size=(height, width), mode="bilinear", align_corners=False, antialias=smaller)


def _within(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Clamp what rounding may add in the last bit to a convex sum; in place where no gradient is needed."""
    return values.clamp(low, high) if values.requires_grad else values.clamp_(low, high)
