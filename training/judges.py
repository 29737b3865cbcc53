"""How well do judges tell subjects apart: the feature network that ships, and SqueezeNet, its teacher.

    python training/judges.py                          # after measure.py has filled the cache's drawn folder
    python training/judges.py --features FOLDER        # another feature network as well

For each judge: the share of single photographs whose subject is the nearest of 20 by the other photographs; and how
many subjects come first of six, for the photographs and for what the attackers drew.
"""

import argparse
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from common import CACHE
from data import data_folder, load
from features import Teacher
from perceptual import weights_file
from personalised import EVAL, judged, photographs, recalled, subjects
from unlearnable.models.features import FOLDER, SIDE, FeatureNetwork, fitted


class Judge(Protocol):
    """Pictures [n 3 h w] in [0, 1] to embeddings [n d]."""

    def embed(self, images: Tensor) -> Tensor: ...


class SqueezeJudge(Teacher):
    """The teacher on whole pictures of 64 px, standardised on held-out ones."""

    def embed(self, images: Tensor) -> Tensor:
        return self(fitted(images))


@torch.no_grad()
def nearest(judge: Judge, sets: dict[str, Tensor]) -> float:
    """Share of photographs whose own subject has the highest mean cosine, the photograph itself left out."""
    e = F.normalize(judge.embed(torch.cat(list(sets.values()))), dim=1)
    belongs = F.one_hot(torch.arange(len(sets)).repeat_interleave(torch.tensor([len(x) for x in sets.values()])))
    cosines, others = e @ e.mT, belongs.float()
    others = others.sum(0) - others  # [photographs, subjects]: how many there are besides this one
    sums = cosines.fill_diagonal_(0) @ belongs.float()
    return ((sums / others).argmax(1) == belongs.argmax(1)).float().mean().item()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder of the tables (default $UNLEARNABLE_DATA or ../shared/data/train)")
    parser.add_argument("--eval", type=Path, default=EVAL)
    parser.add_argument("--drawn", type=Path, default=CACHE / "drawn")
    parser.add_argument("--features", type=Path, nargs="*", default=[])
    args = parser.parse_args()
    folder, (objects, _) = data_folder(args.data), subjects(args.eval)
    sets = {name: photographs(args.eval / "objects" / name, 2 * SIDE) for name in objects}
    seen = fitted(load(folder, "held-out", 300).pixels.float() / 255)
    judges: dict[str, Judge] = {"SqueezeNet, 64 px": SqueezeJudge(weights_file(None, folder), seen, seen.device)}
    judges |= {str(path): FeatureNetwork.from_folder(path) for path in args.features}
    judges["the one that ships"] = FeatureNetwork.from_folder(FOLDER)
    print(f"{sum(map(len, sets.values()))} photographs of {len(sets)} subjects")
    for label, judge in judges.items():
        first = {"photographs": 0, "learned": 0, "untouched": 0}
        for name, photos in sets.items():
            _, made, untouched = recalled(args.drawn, name)
            row = judged(
                judge, sets, objects, {"photographs": photos[0::2], "learned": made, "untouched": untouched}, name
            )
            for kind in first:
                first[kind] += row[f"{kind}: place"] == 1
        print(f"{label:<24} nearest subject {nearest(judge, sets):.3f}; first of six: {first}", flush=True)


if __name__ == "__main__":
    main()
