"""`protect --surrogate scratch` over a folder: killed at random and taken up again, against a run that was left alone.

    OMP_NUM_THREADS=1 python benchmarks/speed/killed.py [--pictures 500] [--few 50] [--kills 3]

Prints how many files differ, and the largest memory of runs over few pictures and over all of them.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from ray_protect import fill

SIDE, KIB = 32, 1024  # Linux gives the largest memory in KiB
GAME = "rounds=2,steps=1,train=5,warmup=5,learn=8,lr=0.001"


def begin(source: Path, out: Path) -> subprocess.Popen[bytes]:
    words = ["protect", str(source), "-r", "-o", str(out), "--method", "eudp", "--surrogate", "scratch"]
    words += ["--model", f"pixel:{SIDE}", "--strength", "paper", "--options", GAME, "--batch", "8"]
    return subprocess.Popen([sys.executable, "-m", "unlearnable.cli", *words], stdout=subprocess.DEVNULL)


def whole(source: Path, out: Path) -> tuple[float, float]:
    """Seconds of a run that nobody disturbs, and its largest memory in MiB."""
    started, process = time.monotonic(), begin(source, out)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"the run over {source} ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - started, used.ru_maxrss / KIB


def killed(source: Path, out: Path, kills: int, seconds: float) -> int:
    """Kill a run so many times, at random within its `seconds`, then let it end; returns how often it was alive."""
    dice, hit = random.Random(0), 0
    for _ in range(kills):
        process = begin(source, out)
        try:
            process.wait(dice.uniform(0.2, 0.45) * seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            hit += 1
    whole(source, out)
    return hit


def bits(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--few", type=int, default=50)
    parser.add_argument("--kills", type=int, default=3)
    given = parser.parse_args()
    with TemporaryDirectory() as name:
        place = Path(name)
        fill(place / "few", given.few, 0, SIDE)
        fill(place / "many", given.pictures, 0, SIDE)
        _, little = whole(place / "few", place / "few-out")
        seconds, much = whole(place / "many", place / "alone")
        hit = killed(place / "many", place / "killed", given.kills, seconds)
        alone, other = bits(place / "alone"), bits(place / "killed")
    differ = sum(alone.get(key) != other.get(key) for key in alone.keys() | other.keys())
    print(f"{len(alone)} pictures, {hit} SIGKILLs: {differ} files differ")
    print(f"largest memory: {little:.0f} MiB with {given.few} pictures, {much:.0f} MiB with {given.pictures}")


if __name__ == "__main__":
    main()
