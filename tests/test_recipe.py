from dataclasses import asdict, replace

import pytest

from unlearnable import recipe as recipes
from unlearnable import registry
from unlearnable.errors import UsageError
from unlearnable.protection import strengths
from unlearnable.protection.constraints import L2Constraint, LinfConstraint, psnr
from unlearnable.recipe import Recipe


def test_toml_there_and_back(tmp_path):
    recipe = Recipe(method="mist", eps=6.5, prompt='a "quoted" photo', steps=7, keep_metadata=True)
    (tmp_path / "r.toml").write_text(recipe.toml())
    assert Recipe(**recipes.load(tmp_path / "r.toml")) == recipe


def test_the_hash_knows_what_decides_the_result():
    base = Recipe()
    assert base.hash == Recipe().hash == replace(base, device="cuda", offline=True).hash
    others = [replace(base, **{k: v}) for k, v in {"seed": 1, "eps": 3, "prompt": "x", "steps": 9, "batch": 2}.items()]
    assert len({r.hash for r in [base, *others]}) == 6


@pytest.mark.parametrize("name", registry.METHODS)
def test_strengths_and_budgets(name):
    own = strengths.protection(name, "paper").constraint
    subtle = LinfConstraint(4, local=True)
    if isinstance(own, L2Constraint):
        subtle = L2Constraint(own.rms * 4 / 6, local=True)
    assert Recipe(method=name, strength="subtle").protection().constraint == subtle
    assert Recipe(method=name, strength="strong").protection().estimator.transforms
    paper = Recipe(method=name, strength="paper").protection()
    assert not paper.estimator.transforms or name in ("encoders", "metacloak", "diffusionguard")  # whose own they are
    assert isinstance(Recipe(method=name, psnr=36.1).protection().constraint, L2Constraint)
    settings = Recipe(method=name, steps=30).protection()
    still = name in ("random", "desaturate", "fastprotect", "ldu-fast")
    assert name not in ("caat", "pap") or (settings.steps, settings.rounds) == (1, 30)
    assert still or 30 <= settings.steps * settings.rounds <= 30 + settings.rounds


def test_papers_true_budgets():
    for name in ("ldu", "ldu-fast", "ldu-paper"):
        assert strengths.protection(name, "paper").constraint == psnr(36.1)
        assert strengths.protection(name).constraint == psnr(36.1, local=True)
    budgets = {n: strengths.protection(n, "paper").constraint.radius for n in registry.METHODS}
    assert budgets["fsmg"] == budgets["aspl"] == pytest.approx(0.05 * 255 / 2)
    assert budgets["photoguard"] == pytest.approx(0.06 * 255 / 2)
    assert budgets["advdm"] == budgets["mist"] == budgets["sds"] == 16 and budgets["ace"] == 4


@pytest.mark.parametrize(
    "bad", [{"steps": -1}, {"batch": -1}, {"resolution": -5}, {"web_size": 63}, {"eps": 3, "psnr": 36}]
)
def test_bad_settings_are_refused(bad):
    with pytest.raises(UsageError, match="give"):
        Recipe(**bad)


def test_every_field_has_a_flag():
    import inspect

    from unlearnable.cli import root

    assert set(asdict(Recipe())) <= set(inspect.signature(root.protect).parameters)


def test_third_party_methods_come_by_entry_point(tmp_path, monkeypatch):
    source = "from unlearnable.protection.methods.random import PAPER as PAPER\n"
    (tmp_path / "dots.py").write_text('"""Dots: a third party\'s method."""\n' + source)
    info = tmp_path / "dots-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dots\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[unlearnable.methods]\ndots = dots\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "dots" in registry.names() and registry.entry("dots").summary == "Dots: a third party's method"
    assert strengths.protection("dots").constraint == LinfConstraint(6, local=True)
