"""A method, an attacker's setting and a countermeasure of somebody else's package run in a benchmark unchanged."""

import importlib

import pytest
import small

from unlearnable.bench.run import bench, prepare
from unlearnable.bench.study import load

MODULE = '''"""Checker: pictures under a checkerboard of the whole budget, and a countermeasure that mirrors them.

Nobody, "On Boards", arXiv 0000.00000; L-inf 8/255, no ascent.
"""

from dataclasses import dataclass, field

import torch

from unlearnable.protection.constraints import LinfConstraint
from unlearnable.protection.engine import Protection


@dataclass(frozen=True)
class Checker(Protection):
    """A protection of its own kind: no objective, no model."""

    cell: int = 1

    def __call__(self, model, images, *, prompt="", target=None, mask=None, seed=0, keys=None, callback=None):
        height, width = images.shape[-2:]
        rows, columns = torch.arange(height)[:, None] // self.cell, torch.arange(width) // self.cell
        board = torch.where((rows + columns) % 2 == 0, 1.0, -1.0)
        delta = self.constraint.start(board.expand_as(images))
        return images + self.constraint.project(images, delta)


PAPER = Checker("checker", constraint=LinfConstraint(8), steps=0)


@dataclass(frozen=True)
class Mirror:
    """Mirror the pictures."""

    strength: int = 1
    name: str = field(default="mirror", kw_only=True)

    def __call__(self, images, *, seed=0):
        return images.flip(-1)
'''
POINTS = "[unlearnable.methods]\nchecker = board\n\n[unlearnable.purifiers]\nmirror = board:Mirror\n"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package of 40 lines, as pip leaves it: a module, and metadata with its entry points."""
    site = tmp_path / "site"
    (site / "board-0.1.dist-info").mkdir(parents=True)
    (site / "board.py").write_text(MODULE)
    (site / "board-0.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: board\nVersion: 0.1\n")
    (site / "board-0.1.dist-info" / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
    return site


def test_a_package_of_forty_lines_is_in_the_table(installed, tmp_path):
    recipe = tmp_path / "recipe.toml"
    text = small.TOML.format(data=str(small.data(tmp_path / "data")), steps=2)
    text = text.replace('"advdm"', '"checker:cell=2"').replace('"jpeg:75"', '"mirror"').replace("psnr:30", "linf:5")
    recipe.write_text(text.replace("objects/*", "objects/ball"))
    study = load(recipe)
    found = bench(study, tmp_path / "out")
    assert not found.missing and {r["purify"] for r in found.rows} == {"", "none", "mirror:1"}
    mine = [r for r in found.rows if r["method"] == "checker:cell=2"]
    assert len(mine) == 2 and all(r["fidelity"]["linf"] == 5 for r in mine)
    before = [line.attack for line in prepare(study)[1] if line.point.method == "checker:cell=2"]
    (installed / "board.py").write_text(MODULE + "\n# another version\n")
    from unlearnable.bench import plan

    plan.theirs.cache_clear()
    after = [line.attack for line in prepare(study)[1] if line.point.method == "checker:cell=2"]
    assert not set(before) & set(after), "another version of the package is another result"
