"""The papers to cite, read from the descriptions of the method, the attackers and the countermeasures."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from unlearnable import registry

PAPER = re.compile(
    r"""(?:(?P<who>[^\W\d_a-z]\w+(?:\ [A-Z]\w+)?\ (?:et\ al\.|and\ [A-Z]\w+)  # Liang et al. / Liang and Wu
        (?:[^.()"]|"[^"]*")*?) [\s,(]*)?                                      # , "Title", ICML 2023
        arXiv\ (?P<id>\d{4}\.\d{4,5})""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Source:
    """A paper, and the name of what comes from it."""

    used: str
    label: str
    link: str


def sources(things: Iterable[tuple[str, str]]) -> list[Source]:
    """The papers behind some things of the registry, given as (name, kind)."""
    papers: dict[tuple[str, str], Source] = {}
    for name, kind in things:
        text = " ".join(registry.entry(name, kind).text.split())
        for match in PAPER.finditer(text):
            number = f"arXiv {match['id']}"
            label = f"{match['who'].strip(' ,')}, {number}" if match["who"] else number
            papers[name, match["id"]] = Source(name, label, f"https://arxiv.org/abs/{match['id']}")
    return list(papers.values())
