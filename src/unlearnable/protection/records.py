"""Records of bytes in one file, read and written by number, so that a data set takes disk space and no memory.

Each record carries the turn that wrote it and a checksum, which show after a crash which records are complete.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from unlearnable.errors import WriteError, shown

HEAD = struct.Struct("<iI")  # turn, checksum of turn and record
LEVELS = 127  # a delta's 8 bits hold -127 .. 127, the budget's bound being 127
NEVER = -1


class Records:
    """Records of `lengths` bytes in the file `path`, which is made if need be."""

    def __init__(self, path: Path, lengths: Sequence[int]) -> None:
        self.path, self.lengths = path, list(lengths)
        self.offsets = [0, *accumulate(HEAD.size + length for length in self.lengths)]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise self._failed(error) from error

    def turn(self, i: int) -> int:
        """The turn that wrote record `i`; `NEVER` if none did, or if it is incomplete."""
        return self._read(i)[0]

    def read(self, i: int) -> bytearray:
        return self._read(i)[1]

    def write(self, i: int, turn: int, record: bytes) -> None:
        head = HEAD.pack(turn, checksum(turn, record))
        try:
            os.pwrite(self.file, head + record, self.offsets[i])
        except OSError as error:
            raise self._failed(error) from error

    def flush(self) -> None:
        """Wait until everything written is on the disk."""
        os.fsync(self.file)

    def close(self) -> None:
        os.close(self.file)

    def _read(self, i: int) -> tuple[int, bytearray]:
        data = bytearray(os.pread(self.file, HEAD.size + self.lengths[i], self.offsets[i]))
        if len(data) < HEAD.size + self.lengths[i]:
            return NEVER, data[HEAD.size :]
        turn, checked = HEAD.unpack_from(data)
        record = data[HEAD.size :]
        return (turn if checked == checksum(turn, record) else NEVER), record

    def _failed(self, error: OSError) -> WriteError:
        reason = error.strerror or error
        return WriteError(f"{shown(self.path)} could not be written ({reason}): free some space, or choose a folder")


def checksum(turn: int, record: bytes | bytearray) -> int:
    return zlib.crc32(record, turn & 0xFFFFFFFF)


class Deltas:
    """Perturbations of turn after turn in two files: a turn reads the one before and writes its own.

    `shapes` are those of the pictures, ``(3, h, w)``; `bound` is the largest change of a sample. 8 bits a sample are
    kept, in steps of 1/127 of the bound.
    """

    def __init__(self, folder: Path, shapes: Sequence[tuple[int, int, int]], bound: float) -> None:
        self.shapes, self.bound = list(shapes), bound
        lengths = [c * h * w for c, h, w in self.shapes]
        self.files = [Records(folder / f"deltas.{i}", lengths) for i in range(2)]

    def has(self, i: int, turn: int) -> bool:
        return self.files[turn % 2].turn(i) == turn

    def get(self, i: int, turn: int) -> Tensor:
        """The perturbation of picture `i` after a turn that has been written, ``[3 h w]``."""
        levels = torch.frombuffer(self.files[turn % 2].read(i), dtype=torch.int8)
        return levels.view(self.shapes[i]).float() * (self.bound / LEVELS)

    def put(self, i: int, turn: int, delta: Tensor) -> None:
        levels = (delta.detach().cpu() * (LEVELS / max(self.bound, 1e-12))).round().clamp(-LEVELS, LEVELS)
        self.files[turn % 2].write(i, turn, levels.to(torch.int8).contiguous().numpy().tobytes())

    def flush(self, turn: int) -> None:
        self.files[turn % 2].flush()

    def close(self) -> None:
        for file in self.files:
            file.close()


class Views:
    """Pictures in 8 bits, ``[3 h w]`` each, with their masks; `keys` name them."""

    def __init__(self, path: Path, keys: Sequence[str], shapes: Sequence[tuple[int, int, int]]) -> None:
        self.keys, self.shapes = list(keys), list(shapes)
        self.file = Records(path, [4 * h * w for _, h, w in self.shapes])

    def __len__(self) -> int:
        return len(self.keys)

    def put(self, i: int, x: Tensor, mask: Tensor) -> None:
        """A picture ``[3 h w]`` and its mask ``[1 h w]``, both in [0, 1]."""
        levels = (torch.cat([x, mask]) * 255).round().to(torch.uint8).cpu().contiguous()
        self.file.write(i, 0, levels.numpy().tobytes())

    def get(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Pictures of one shape ``[b 3 h w]`` and their masks ``[b 1 h w]``, in [0, 1]."""
        _, h, w = self.shapes[rows[0]]
        both = [torch.frombuffer(self.file.read(i), dtype=torch.uint8).view(4, h, w) for i in rows]
        levels = torch.stack(both).float() / 255
        return levels[:, :3], levels[:, 3:]

    def close(self) -> None:
        self.file.close()
