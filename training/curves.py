"""Draw the learning curves on held-out pictures, from the .jsonl files that training leaves beside its checkpoints.

    python training/curves.py                                       # those of the model that ships
    python training/curves.py FOLDER -o out/curves.png              # those of a run of your own

The horizontal axis is logarithmic, so that a straight line means: every doubling of the steps gains the same.
"""

import argparse
import json
from pathlib import Path

PARTS = {
    "encoder-flux2": ("clean 256", "encoder flux2: error at 256 px (target 0.10)"),
    "encoder-sd1": ("clean 256", "encoder sd1: error at 256 px (target 0.10)"),
    "decoder": ("PSNR 512, own", "decoder: PSNR at 512 px, dB (target 30)"),
    "base": ("held-out v", "U-Net: squared error of v"),
    "features": ("held-out accuracy", "feature network: accuracy"),
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent / "curves")
    parser.add_argument("-o", "--out", type=Path, default=Path(__file__).parent / "curves" / "curves.png")
    args = parser.parse_args()
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import ScalarFormatter

    parts = {part: shown for part, shown in PARTS.items() if (args.folder / f"{part}.jsonl").is_file()}
    figure, axes = pyplot.subplots(1, len(parts), figsize=(4 * len(parts), 3.4), layout="constrained")
    for axis, (part, (key, title)) in zip(axes, parts.items()):
        rows = [json.loads(line) for line in (args.folder / f"{part}.jsonl").read_text().splitlines()]
        rows = [row for row in rows if key in row]
        axis.plot([row["step"] for row in rows], [row[key] for row in rows], marker=".", color="#1f5a85")
        axis.set(title=title, xlabel="step", xscale="log")
        axis.xaxis.set_major_formatter(ScalarFormatter())
        axis.xaxis.set_minor_formatter(ScalarFormatter())
        axis.tick_params(axis="x", which="both", labelrotation=45, labelsize=8)
        axis.grid(alpha=0.3)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, dpi=80)
    print(args.out)


if __name__ == "__main__":
    main()
