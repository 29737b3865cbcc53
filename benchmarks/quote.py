"""Bring what documents quote of the committed benchmark up to date, or (`--check`) fail where one is stale.

python benchmarks/quote.py [--take OUT] [--check] [--results FOLDER] [DOCUMENT ...]

`--take` first makes the rows of a run, in OUT, the committed results, without their pictures.
"""

import argparse
import sys
from pathlib import Path

from unlearnable.bench import quote

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "v2" / "embedded"
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("benchmarks/results/**/*.md"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", nargs="*", type=Path, default=DOCUMENTS)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a document is stale")
    parser.add_argument("--take", type=Path, help="folder of a run whose rows become the results")
    given = parser.parse_args()
    if given.take:
        sys.stdout.write(f"{quote.kept(given.take, given.results)}: taken from {given.take}\n")
    for path in (stale := quote.update(given.documents, given.results, check=given.check)):
        sys.stdout.write(f"{path}: {'stale' if given.check else 'updated'}\n")
    sys.exit(1 if given.check and stale else 0)


if __name__ == "__main__":
    main()
