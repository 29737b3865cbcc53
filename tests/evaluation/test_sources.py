"""What to cite: papers in the words of the descriptions, each with its authors where they are named."""

import shlex
from itertools import pairwise

from unlearnable import registry
from unlearnable.auditing.settings import Settings
from unlearnable.evaluation.sources import sources


def test_authors_titles_and_numbers_are_found():
    advdm, diffpure, mist = sources([("advdm", "method"), ("diffpure", "purifier"), ("mist", "method")])
    assert advdm.label == 'Liang et al., "Adversarial Example Does Good", ICML 2023, arXiv 2302.04578'
    assert advdm.link == "https://arxiv.org/abs/2302.04578" and advdm.used == "advdm"
    assert diffpure.label == "Nie et al., arXiv 2205.07460" and mist.label.startswith("Liang and Wu, ")
    assert sources([("jpeg", "purifier"), ("random", "method")]) == []


def test_no_paper_in_a_description_is_lost():
    for kind in ("method", "attacker", "purifier"):
        for name in registry.names(kind):
            found = {source.link for source in sources([(name, kind)])}
            text = registry.entry(name, kind).text
            assert len(found) == len(
                {word for word in text.replace("\n", " ").split("arXiv ")[1:] if word[:4].isdigit()}
            )


def test_the_command_says_the_settings_again(tmp_path):
    settings = Settings(
        attacks=("dreambooth", "lora"), seeds=(0, 1), prompt="a photo of sks 'x'", steps=5, offline=True
    )
    words = shlex.split(settings.command(tmp_path / "a b", tmp_path / "c", tmp_path / "d", None))
    assert words[:3] == ["unlearnable", "audit", str(tmp_path / "a b")]
    given = dict(pairwise(words))
    assert given["--attack"] == "dreambooth,lora" and given["--seeds"] == "0,1" and given["--steps"] == "5"
    assert given["--prompt"] == "a photo of sks 'x'" and words[-1] == "--offline" and "--purify" not in given
