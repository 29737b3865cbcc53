"""Training pictures of many sizes for the autoencoder: the 128 px tables, and photographs at their own size.

`native.parquet` holds photographs of 240 to 640 px (columns image, path, source, width, height). Where it is missing,
the tables alone are used, and everything larger than 128 px is enlarged.
"""

import io
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from common import normal
from data import held_out, load
from unlearnable.protection import transforms

SIZES = (128, 192, 256, 384)
SHARES = (0.5, 0.2, 0.24, 0.06)  # how often a large crop has each of these sizes


@dataclass(frozen=True)
class Photographs:
    """`small` is uint8 [n, 3, 128, 128], `native` a list of uint8 [3, h, w]; squares are cut where these lie."""

    small: Tensor
    native: list[Tensor]

    def to(self, device: torch.device) -> "Photographs":
        """The same pictures on another device."""
        return Photographs(self.small.to(device), [picture.to(device) for picture in self.native])

    def crop(self, size: int, rng: torch.Generator) -> Tensor:
        """A random square of `size` px, uint8 [3, size, size]: real texture, reduced copies, or from the tables."""
        kind = float(torch.rand((), generator=rng))
        source = self.native if self.native and (kind < 0.8 or size > 128) else self.small
        picture = source[int(torch.randint(len(source), (), generator=rng))]
        short = min(picture.shape[-2:])
        scale = max(1.0, size / short)
        if kind > 0.55 and short > size:
            scale = size / short + (1 - size / short) * float(torch.rand((), generator=rng))
        if scale != 1:
            picture = resized(picture, max(size, round(scale * short)))
        top, left = (int(torch.randint(side - size + 1, (), generator=rng)) for side in picture.shape[-2:])
        square = picture[:, top : top + size, left : left + size]
        return square.flip(-1) if float(torch.rand((), generator=rng)) < 0.5 else square


def resized(picture: Tensor, short: int) -> Tensor:
    """Scaled so that the shorter side has `short` px; uint8 [3, h, w]."""
    scale = short / min(picture.shape[-2:])
    size = [max(short, round(scale * side)) for side in picture.shape[-2:]]
    scaled = F.interpolate(picture[None].float(), size=size, mode="bicubic", antialias=True)[0]
    return scaled.round().clamp(0, 255).to(torch.uint8)


def photographs(folder: Path, part: str) -> Photographs:
    """The pictures of one part, `train` or `held-out`."""
    native = [p for path, p in read_native(folder) if held_out(f"native/{path}") == (part == "held-out")]
    return Photographs(load(folder, part).pixels, native)


def read_native(folder: Path) -> list[tuple[str, Tensor]]:
    """Path and pixels of each photograph in `native.parquet`; [] when there is none."""
    import pyarrow.parquet as pq

    file = folder / "native.parquet"
    if not file.is_file():
        return []
    rows = pq.read_table(file, columns=["image", "path"]).to_pylist()
    return [(row["path"], decoded(row["image"])) for row in rows]


def decoded(data: bytes) -> Tensor:
    picture = Image.open(io.BytesIO(data), formats=["WEBP", "PNG", "JPEG"]).convert("RGB")
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def corrupted(picture: Tensor, rng: torch.Generator) -> Tensor:
    """What happens to pictures [3, h, w] in [0, 1] on their way: nothing (half of the time), or one of four things.

    These are noise, JPEG, blur, or a smaller copy.
    """
    kind = float(torch.rand((), generator=rng))
    amount = float(torch.rand((), generator=rng))
    if kind < 0.5:
        return picture
    if kind < 0.65:
        changed = picture + normal(picture.shape, rng, picture.device) * (1 + 9 * amount) / 255
    else:
        x, dice = picture[None], random.Random(int(torch.randint(2**31, (), generator=rng)))
        if kind < 0.8:
            (changed,) = transforms.jpeg(x, dice, (40, 95))
        elif kind < 0.9:
            (changed,) = transforms.blur(x, dice, (0.4, 1.4))
        else:
            (changed,) = transforms.resize(x, dice, (0.4, 0.9))
    return (changed.clamp(0, 1) * 255).round() / 255


def coloured(images: Tensor, rng: torch.Generator) -> Tensor:
    """Brightness, contrast and colours a little off, one in ten grey; pictures [b, 3, h, w] in [0, 1]."""
    count = len(images)
    shapes = (count, 1, 1, 1), (count, 3, 1, 1), (count, 1, 1, 1)
    gain, shift, grey = (torch.rand(shape, generator=rng).to(images.device) for shape in shapes)
    gain, shift, grey = 1 + 0.2 * (2 * gain - 1), 0.08 * (2 * shift - 1), (grey < 0.1).float()
    images = images + grey * (images.mean(1, True) - images)
    return (images * gain + shift * (1 - grey)).clamp(0, 1)


def batch(pictures: Photographs, size: int, count: int, rng: torch.Generator, corrupt: bool = True) -> Tensor:
    """`count` squares of `size` px in [0, 1], some of them corrupted as files are."""
    squares = torch.stack([pictures.crop(size, rng) for _ in range(count)])
    images = coloured(squares.float() / 255, rng)
    if corrupt:
        images = torch.stack([corrupted(x, rng) for x in (images * 255).round() / 255])
    return images.contiguous(memory_format=torch.channels_last)


def large_size(rng: torch.Generator) -> int:
    """The side of a step's large crops."""
    return SIZES[int(torch.multinomial(torch.tensor(SHARES), 1, generator=rng))]


def held_squares(pictures: Photographs, size: int, count: int) -> Tensor:
    """The middle squares of the first `count` photographs, scaled to `size` px; [n, 3, size, size] in [0, 1]."""
    source = pictures.native or list(pictures.small)
    squares = []
    for picture in source[:count]:
        whole = resized(picture, size)
        top, left = ((side - size) // 2 for side in whole.shape[-2:])
        squares.append(whole[:, top : top + size, left : left + size])
    return (torch.stack(squares).float() / 255).contiguous(memory_format=torch.channels_last)
