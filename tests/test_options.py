"""Options of a method as text: what they set, and one sentence for each that does not fit."""

from dataclasses import replace

import pytest

from unlearnable.errors import UsageError
from unlearnable.options import applied
from unlearnable.protection import strengths
from unlearnable.protection.adjust import values
from unlearnable.protection.against import Against
from unlearnable.protection.objectives import Objective, denoising
from unlearnable.protection.perceptual import PerceptualConstraint
from unlearnable.protection.personalised import Personalised
from unlearnable.protection.surrogates import ALTERNATING, Frozen
from unlearnable.recipe import Recipe

LDU = strengths.protection("ldu")


def test_what_options_set(tmp_path):
    text = "k=4, t_start=0.5,decode=plain,residual=0,latent=true,surrogate=lora+token,transforms=none"
    changed = applied(LDU, text)
    assert [values(changed)[name] for name in ("k", "t_start", "decode", "latent")] == [4, 0.5, "plain", True]
    assert changed.surrogate == Personalised(("lora", "token")) and not changed.estimator.transforms
    assert applied(LDU, "surrogate=base").surrogate == Frozen()
    assert applied(changed, "surrogate=alternating").surrogate == ALTERNATING
    targeted = applied(LDU, "objective=mist")
    assert targeted.objective.goal == "pattern" and applied(targeted, "objective=mist-grey") == LDU
    assert applied(LDU, "") is LDU
    several = applied(LDU, "'against=flux2,sd1', k=2")
    assert several.against == Against("flux2,sd1") and values(several)["k"] == 2
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    taught = applied(strengths.protection("aspl"), f"clean={tmp_path}, text=true").surrogate
    assert taught == replace(ALTERNATING, clean=str(tmp_path), text=True)
    plain = applied(LDU, "objective=denoising")
    assert plain.objective == Objective(denoising)


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("k", "option 'k' has no value"),
        ("k=two", "option k is 'two': give a whole number"),
        ("latent=maybe", "option latent is 'maybe': give true or false"),
        ("t_strat=1", "ldu has no option 't_strat': did you mean 't_start'"),
        ("objective=mits", "unknown objective 'mits': did you mean 'mist'"),
        ("surrogate=lora+tokem", r"unknown surrogate 'lora\+tokem'"),
        ("decode=twice", "unknown decode 'twice'"),
        ("name=x", "has no option 'name'"),
        ("text=true", "ldu has no option 'text'"),
    ],
)
def test_options_that_do_not_fit(text, sentence):
    with pytest.raises(UsageError, match=sentence):
        applied(LDU, text)


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("clean=nowhere", "is 'nowhere': give a folder of pictures"),
        ("text=1", "give true or false"),
        ("clear=x", "did you mean 'clean'"),
    ],
)
def test_lessons_that_do_not_fit(text, sentence):
    with pytest.raises(UsageError, match=sentence):
        Recipe(method="aspl", options=text).protection()


def test_recipes_carry_options_and_one_budget():
    recipe = Recipe(method="ldu", options="k=2", perceptual=0.2)
    assert values(recipe.protection())["k"] == 2 and recipe.protection().constraint == PerceptualConstraint(
        0.2, local=True
    )
    assert recipe.hash != Recipe(method="ldu", perceptual=0.2).hash
    with pytest.raises(UsageError, match=r"psnr 36 and perceptual 0\.2 are 2 budgets: give one of them"):
        Recipe(psnr=36, perceptual=0.2)
    with pytest.raises(UsageError, match="allows no change of 8-bit pictures"):
        Recipe(method="ldu", eps=0.5).protection()
