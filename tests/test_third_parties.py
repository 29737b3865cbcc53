"""Things of other packages: a module or an attribute is named, and what is broken hides nothing else."""

import importlib

import pytest
from typer.testing import CliRunner

from unlearnable import cli, registry
from unlearnable.errors import UsageError
from unlearnable.personalization import presets
from unlearnable.protection import strengths

MODULE = '''"""Ours too: noise on the boundary.

Nobody, 2026.
"""

from unlearnable.personalization.dreambooth import DreamBooth
from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection
from unlearnable.protection.parameterisation import Pixels

PAPER = Protection("theirs", constraint=LinfConstraint(8), parameterisation=Pixels(start="sign"), steps=0)
PRESETS = {"paper": DreamBooth(steps=3), "embedded": DreamBooth(steps=2)}
NUMBER = 3
'''
POINTS = """[unlearnable.methods]
by-module = their_package
by-attribute = their_package:PAPER
number = their_package:NUMBER
gone = their_package:NOTHING
away = no_such_package
raises = their_broken_package
mist = their_package

[unlearnable.attackers]
theirs = their_package
theirs-presets = their_package:PRESETS
wrong = their_package:NUMBER

[unlearnable.purifiers]
lost = their_package:Lost
"""


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    (tmp_path / "their_package.py").write_text(MODULE)
    (tmp_path / "their_broken_package.py").write_text("raise RuntimeError('half\\nwritten')\n")
    facts = tmp_path / "their_package-0.1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 0.1\n")
    (facts / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()


@pytest.mark.parametrize("name", ["by-module", "by-attribute"])
def test_both_forms_of_a_method(name):
    assert strengths.protection(name, "paper").name == "theirs"
    assert strengths.protection(name).constraint.eps == 6
    assert registry.entry(name).summary == "Ours too: noise on the boundary"


@pytest.mark.parametrize("name", ["theirs", "theirs-presets"])
def test_both_forms_of_an_attacker(name):
    assert presets.presets(name)["embedded"].steps == 2


BROKEN = {
    "number": "is of type int: its entry point should name a Protection",
    "gone": "cannot be loaded (AttributeError",
    "away": "cannot be loaded (ModuleNotFoundError: No module named 'no_such_package')",
    "raises": "cannot be loaded (RuntimeError: half written)",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_method_is_one_sentence(name):
    with pytest.raises(UsageError) as error:
        strengths.protection(name)
    assert BROKEN[name] in str(error.value) and "\n" not in str(error.value)


def test_broken_ones_hide_nothing_else():
    found = CliRunner().invoke(cli.app, ["methods"])
    assert found.exit_code == 0 and "by-module" in found.stdout and "advdm" in found.stdout
    for sentence in BROKEN.values():
        assert sentence in found.stderr
    assert "'mist' of their_package is left out: that name is one of ours" in found.stderr
    assert strengths.protection("mist").name == "mist"
    for verb, name in (("personalize", "theirs"), ("purify", "jpeg")):
        listed = CliRunner().invoke(cli.app, [verb, "--list"])
        assert listed.exit_code == 0 and name in listed.stdout and "unlearnable: " in listed.stderr
