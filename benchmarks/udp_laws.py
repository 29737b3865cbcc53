"""The laws p(t) that EUDP may draw times from: one plot, for the two schedules that pictures are trained on here.

    python benchmarks/udp_laws.py                  # writes the plot of docs/explanation/udp.md, prints each law's mass

The measured law is taken from the embedded model on photographs that scikit-image carries.
"""

import argparse
from pathlib import Path

import matplotlib
import torch

from loss import photographs, square
from unlearnable import load_model
from unlearnable.models.fresh import pixel
from unlearnable.protection import strengths
from unlearnable.protection.probe import measured
from unlearnable.protection.surrogates import view
from unlearnable.protection.timesteps import LAWS, MEASURED, probabilities
from unlearnable.rng import image_keys

matplotlib.use("Agg")
FORMULAS = {
    "uniform": "1", "sqrt-ab": "sqrt(ab)", "ab": "ab", "snr": "min(10, sqrt(ab / (1 - ab)))", "ab-1-ab": "ab (1 - ab)",
    "ab2-1-ab": "ab^2 (1 - ab)", MEASURED: "|gradient at x|, measured",
}  # fmt: skip


def laws() -> dict[str, dict[str, torch.Tensor]]:
    embedded = load_model()
    x = torch.cat([square(pixels, embedded.size) for pixels in photographs()])
    schedules = {"linear (pixel DDPM)": pixel(8).schedule, "scaled linear (embedded latent model)": embedded.schedule}
    found = {title: {law: probabilities(law, schedule) for law in LAWS} for title, schedule in schedules.items()}
    shown = view(embedded, "a photo")
    settings = strengths.protection("eudp", strengths.PAPER)
    found[list(found)[1]][MEASURED] = measured(settings, shown, list(x[:, None]), image_keys(x), 0)
    return found


def main() -> None:
    import matplotlib.pyplot as plt

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    plot = Path(__file__).parents[1] / "docs" / "explanation" / "udp-laws.png"
    parser.add_argument("--plot", type=Path, default=plot)
    options = parser.parse_args()
    page, axes = plt.subplots(1, 2, figsize=(10, 3.6), sharey=True)
    print("| schedule | law | p(t) in proportion to | mean t | half of the draws below t = |\n|---|---|---|---|---|")
    for axis, (title, group) in zip(axes, laws().items()):
        for law, p in group.items():
            axis.plot(1000 * p, label=f"{law}: {FORMULAS[law]}")
            mean, half = float((p * torch.arange(len(p))).sum()), int(torch.searchsorted(p.cumsum(0), 0.5))
            print(f"| {title} | {law} | {FORMULAS[law]} | {mean:.0f} | {half} |")
        axis.set(title=title, xlabel="t", ylim=(0, 8))
    axes[0].set(ylabel="1000 p(t)")
    axes[1].legend(fontsize=8)
    page.tight_layout()
    page.savefig(options.plot, dpi=90)


if __name__ == "__main__":
    main()
