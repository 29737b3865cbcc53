"""Run the numerical tests under other processors' kernels and other numbers of threads: `make test-cpus`.

Kernels are those of torch (ATEN_CPU_CAPABILITY) and of oneDNN (ONEDNN_MAX_CPU_ISA), in pairs that processors have: none
of the vector units, AVX2, and whatever this one has; each with one and with two threads. What passes by a hair on one
processor fails on another, so a failure here is a margin that is too narrow.

    python tests/cpus.py plain avx2 2 -x              # these alone, with two threads; other words go to pytest
"""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KERNELS = {"plain": ("default", "SSE41"), "avx2": ("avx2", "AVX2"), "native": (None, None)}
THREADS = (1, 2)
NUMERICAL = (
    "tests/protection/test_methods.py",
    "tests/protection/test_engine.py",
    "tests/protection/test_maxmin.py",
    "tests/protection/test_constraints.py",
    "tests/protection/test_embedded_effect.py",
    "tests/ldu",
    "tests/metrics/test_fidelity.py",
    "tests/models/test_adapters.py",
    "tests/models/test_embedded.py",
    "tests/models/test_training.py",
    "tests/personalization/test_one_step.py",
    "tests/personalization/test_attackers.py",
    "tests/purification",
)


def environment(kernels: str, threads: int) -> dict[str, str]:
    torch, onednn = KERNELS[kernels]
    wanted = {"ATEN_CPU_CAPABILITY": torch, "ONEDNN_MAX_CPU_ISA": onednn, "OMP_NUM_THREADS": str(threads)}
    wanted |= {"TEST_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}  # threads that spin slow the others down
    kept = {name: value for name, value in os.environ.items() if name not in wanted}
    return kept | {name: value for name, value in wanted.items() if value is not None}


def main() -> None:
    lines, failed = [], 0
    counts = [int(word) for word in sys.argv[1:] if word in map(str, THREADS)] or THREADS
    chosen = [name for name in sys.argv[1:] if name in KERNELS] or list(KERNELS)
    options = [
        "-q",
        "-p",
        "no:cacheprovider",
        *(word for word in sys.argv[1:] if word not in (*KERNELS, *map(str, THREADS))),
    ]
    for kernels in chosen:
        for threads in counts:
            began = time.monotonic()
            workers = max(1, (os.cpu_count() or 1) // threads)
            command = [sys.executable, "-m", "pytest", "-n", str(workers), *NUMERICAL, *options]
            done = subprocess.run(
                command, cwd=ROOT, env=environment(kernels, threads), capture_output=True, text=True, check=False
            )
            last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr.strip()[-200:]
            lines.append(f"{kernels:8}{threads} thread{'s' if threads > 1 else ' '}  {last}")
            print(lines[-1], f"({time.monotonic() - began:.0f} s)", flush=True)
            if done.returncode:
                failed += 1
                shown = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR", "E  "))]
                print("\n".join(shown), flush=True)
    print(f"{len(lines) - failed} of {len(lines)} settings passed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
