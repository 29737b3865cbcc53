"""How many files and functions of the package one picture enters on its way through `protect`.

    python benchmarks/entered.py --method ldu

Counted by `sys.setprofile` (in every thread) from the call of `unlearnable.protect` to its last result, the second
time: what modules do when they are imported does not count, and neither do the bodies of classes.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import unlearnable

ROOT = str(Path(unlearnable.__file__).parent)


def entered(work: Any) -> set[tuple[str, str]]:
    """File and name of every function of ours that `work` calls; comprehensions belong to their function."""
    found: set[tuple[str, str]] = set()

    def watch(frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        function = code.co_flags & inspect.CO_OPTIMIZED and not code.co_name.startswith("<")
        if event == "call" and function and code.co_filename.startswith(ROOT):
            found.add((code.co_filename[len(ROOT) + 1 :], code.co_qualname))

    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="ldu")
    parser.add_argument("--list", action="store_true", help="print the files")
    args = parser.parse_args()
    import numpy as np
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"{folder}/a.png")
        recipe = unlearnable.Recipe(method=args.method, steps=1)
        list(unlearnable.protect(f"{folder}/a.png", f"{folder}/first", recipe))
        found = entered(lambda: list(unlearnable.protect(f"{folder}/a.png", f"{folder}/out", recipe)))
    files: dict[str, int] = {}
    for file, _ in found:
        files[file] = files.get(file, 0) + 1
    for file in sorted(files) if args.list else []:
        print(f"{files[file]:4} {file}")
    print(f"{args.method}: {len(files)} files, {len(found)} functions entered")


if __name__ == "__main__":
    main()
