"""What papers report: an entry for every method that names a paper, which the report shows beside the method's rows."""

import re
import tomllib
from importlib.resources import files

import pytest

from unlearnable import registry
from unlearnable.bench.page import papers

ENTRIES = tomllib.loads((files("unlearnable.bench") / "papers.toml").read_text(encoding="utf-8"))["paper"]
LINKS = {name: entry["link"] for entry in ENTRIES for name in entry["methods"]}


@pytest.mark.parametrize("name", registry.METHODS)
def test_every_method_with_a_paper_has_its_entry(name):
    paper = registry.entry(name).facts.paper
    link = paper and f"https://arxiv.org/abs/{paper.removeprefix('arXiv ')}"
    assert LINKS.get(name, "") == link, f"give {name!r} an entry with the link {link!r} in bench/papers.toml, or none"


def test_entries_are_whole_and_of_known_methods():
    assert set(LINKS) <= set(registry.METHODS) and len(LINKS) == sum(len(e["methods"]) for e in ENTRIES)
    place = re.compile(r"^no figure is quoted here: |\(.*(abstract|page|table \d).*\)$")
    for entry in ENTRIES:
        assert set(entry) == {"methods", "name", "link", "reported", "comparable"}, entry["name"]
        assert place.search(entry["reported"]), entry["name"]
        assert re.match(r"(No|In \w+|As \S+)\b.*\.$", entry["comparable"]), entry["name"]


def test_the_report_has_the_papers_of_its_rows_alone():
    rows = [{"method": "aspl:eps=4"}, {"method": "random"}, {"method": "dia"}]
    shown = [entry["link"] for entry in papers(rows)]
    assert shown == ["https://arxiv.org/abs/2303.15433", "https://arxiv.org/abs/2510.00778"]
