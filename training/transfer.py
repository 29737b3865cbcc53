"""How far finished files move the teachers themselves, which no protection has in its loop.

    python training/transfer.py photos protected                # TAEF2 and the light encoder of SD 1's latents

The same table as `unlearnable encoders check` prints for the stand-ins that ship. Teachers are read from `--teachers`.
"""

import argparse
import sys
from pathlib import Path

from data import DEFAULT_DATA
from teachers import CHANNELS, teacher
from unlearnable.cli.encoders import table
from unlearnable.evaluation.shifts import CHAINS, compare
from unlearnable.models.encoders.load import Encoder

NAMES = {"flux2": "TAEF2", "sd1": "SD-1 light"}


def encoders(folder: Path) -> list[Encoder]:
    """The teachers in `folder`, as encoders that a check can ask."""
    return [
        Encoder(NAMES[name], str(folder), True, teacher(name, folder), lambda network, x: network(x), 8)
        for name in CHANNELS
    ]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clean", type=Path)
    parser.add_argument("protected", type=Path)
    parser.add_argument("--side", type=int, default=512, help="shorter side in px that pictures are scaled to, at most")
    parser.add_argument("--teachers", type=Path, default=DEFAULT_DATA.parent.parent / "weights")
    args = parser.parse_args()
    report = compare(args.clean, args.protected, encoders(args.teachers), purify=CHAINS, side=args.side)
    sys.stdout.write(table(report))


if __name__ == "__main__":
    main()
