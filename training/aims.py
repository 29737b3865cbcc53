"""What a perturbation is to do to several encoders, and how they are joined: each choice, judged by the teachers.

    python training/aims.py photos --out out/aims --steps 20

Every aim and join of `protection.against.Against` at 36.1 dB, on the same pictures with one seed. The figure is how far
the teachers' latents move, over random noise of the same size.
"""

import argparse
import sys
from pathlib import Path

import unlearnable
from data import DEFAULT_DATA
from transfer import encoders
from unlearnable.evaluation.shifts import CHAINS, compare
from unlearnable.protection.against import AIMS, JOINS


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out/aims"))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--side", type=int, default=256, help="shorter side in px at which the teachers look")
    parser.add_argument("--teachers", type=Path, default=DEFAULT_DATA.parent.parent / "weights")
    args = parser.parse_args()
    judges = encoders(args.teachers)
    head = [f"{encoder.name}, {chain}" for encoder in judges for chain in CHAINS]
    sys.stdout.write("| aim | join | " + " | ".join(head) + " |\n" + "|---" * (len(head) + 2) + "|\n")
    for aim, join in [(AIMS[0], join) for join in JOINS] + [(aim, JOINS[0]) for aim in AIMS[1:]]:
        out = args.out / f"{aim}-{join}"
        recipe = unlearnable.Recipe(
            method="encoders", steps=args.steps, options=f"aim={aim},join={join}", resolution=args.resolution
        )
        for result in unlearnable.protect(args.photos, out, recipe):
            if result.status == "failed":
                raise SystemExit(result.message)
        report = compare(args.photos, out, judges, purify=CHAINS, side=args.side)
        found = {(shift.encoder, shift.purify): shift.ratio.value for shift in report.shifts}
        ratios = " | ".join(f"{found[encoder.name, chain]:.2f}" for encoder in judges for chain in CHAINS)
        sys.stdout.write(f"| {aim} | {join} | {ratios} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
