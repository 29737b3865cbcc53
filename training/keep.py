"""Copy the averaged encoders to `training/weights/`, in fp16, so that a new machine can go on.

They hold the mean and spread of their teachers' channels as well, which the shipped ones don't. U-Net, text encoder and
decoder go on from the folder that ships.

python training/keep.py
"""

import argparse
from pathlib import Path

from safetensors import safe_open

from common import CACHE, WEIGHTS, write_atomically

NAMES = ("encoder-flux2", "encoder-sd1")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--to", type=Path, default=WEIGHTS)
    args = parser.parse_args()
    for name in NAMES:
        file = args.cache / f"{name}-average.safetensors"
        if not file.is_file():
            continue
        with safe_open(file, "pt") as opened:
            tensors = {key: opened.get_tensor(key).half() for key in opened.keys()}  # noqa: SIM118 - not a dict
            facts = opened.metadata()
        write_atomically(tensors, args.to / f"{name}.safetensors", facts)
        print(f"{args.to / name}.safetensors: step {facts['step']}, {facts['minutes']} minutes")


if __name__ == "__main__":
    main()
