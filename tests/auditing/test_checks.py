"""Every check: facts on which it speaks up, facts on which it does not, and a place in the documentation."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from unlearnable.auditing import checks
from unlearnable.auditing.facts import Facts, Objective
from unlearnable.evaluation.material import CLEAN, CONTROL, PROTECTED, Condition
from unlearnable.evaluation.rates import ORIGINALS, Estimate, Measure, Row

NOTHING = Measure(rate=Estimate(note="undefined: the loss fell by 0"))
CLEAN_ROW = Row("dreambooth", Condition(CLEAN), Measure(rate=Estimate(0, 0, 0)), own_before=1.0, own_after=0.6)
PROTECTED_ROW = Row(
    "dreambooth", Condition(PROTECTED), Measure(rate=Estimate(0.6), over_control=Estimate(0.5, 0.3, 0.7))
)
SOUND = Facts(
    rows=(CLEAN_ROW, PROTECTED_ROW, Row("dreambooth", Condition(CONTROL), Measure(rate=Estimate(0.1)))),
    train=4, held_out=4,
    prompt="a photo of sks dog", tokens=("sks",), seeds=(0, 1), model="sd", large=True, broken=(), method="advdm",
    defended_prompt="a photo", defended_model="another", objective=Objective("advdm", 0.2, 0.3, 0.21),
)  # fmt: skip


def rows(row: Row, **changes) -> tuple[Row, ...]:
    return tuple(replace(r, **changes) if r is row else r for r in SOUND.rows)


CASES = [
    (
        checks.not_learned,
        {"rows": rows(CLEAN_ROW, held_out=NOTHING)},
        "did not learn the clean pictures (their loss went from 1 to 0.6)",
        True,
    ),
    (
        checks.by_heart,
        {"rows": rows(CLEAN_ROW, held_out=NOTHING, originals=CLEAN_ROW.held_out, judged=ORIGINALS)},
        "dreambooth (the loss fell by 0)",
        False,
    ),
    (checks.not_learned, {"rows": rows(CLEAN_ROW, failed="training diverged")}, "failed on the clean pictures", True),
    (
        checks.no_better_than_random,
        {"rows": rows(PROTECTED_ROW, held_out=Measure(over_control=Estimate(0.1, -0.1, 0.3)))},
        "−10 to 30",
        True,
    ),
    (
        checks.no_better_than_random,
        {"rows": rows(PROTECTED_ROW, held_out=Measure(over_control=Estimate(0.1)))},
        "no interval",
        True,
    ),
    (checks.gradient_vanished, {"objective": Objective("advdm", 0.2, 0.205, 0.21)}, "found no direction", True),
    (checks.gradient_vanished, {"objective": Objective("advdm", 0.2, 0.19, 0.18)}, "found no direction", True),
    (checks.budget_broken, {"broken": ("a.png moves by up to 9/255",)}, "a.png moves", True),
    (checks.unchanged, {"unchanged": ("a.png",)}, "1 of 4 protected files equal", True),
    (checks.few_pictures, {"train": 3}, "trained on 3", False),
    (checks.few_pictures, {"held_out": 2}, "tested on 2", False),
    (checks.one_prompt, {"defended_prompt": "A photo  of sks dog"}, "the prompt 'a photo of sks dog'", False),
    (checks.one_prompt, {"defended_prompt": "my sks"}, "the token 'sks'", False),
    (checks.one_seed, {"seeds": (3,)}, "One seed (3)", False),
    (checks.small_model, {"large": False, "model": "embedded"}, "not one about Stable Diffusion", False),
    (checks.defenders_model, {"defended_model": "sd"}, "the best case", False),
]


@pytest.mark.parametrize(("check", "changes", "words", "grave"), CASES)
def test_it_fires_on_its_own_fault_and_on_no_other(check, changes, words, grave):
    facts = replace(SOUND, **changes)
    found = check(facts)
    assert found is not None and words in found.text and found.grave == grave
    assert found.text.endswith(".") and "\n" not in found.text
    assert check(SOUND) is None
    assert checks.findings(facts) == [found]


def test_sound_facts_raise_no_doubt():
    assert checks.findings(SOUND) == [] and checks.unmade(SOUND) == []


def test_every_check_is_tried_here_and_explained_in_the_documentation():
    assert {case[0] for case in CASES} == set(checks.CHECKS)
    text = (Path(__file__).parents[2] / "docs" / "explanation" / "limits.md").read_text()
    explained = set(re.findall(r"^### (\S+)$", text, re.MULTILINE))
    assert {case[0](replace(SOUND, **case[1])).id for case in CASES} == explained


def test_without_a_journal_nothing_is_guessed():
    bare = replace(SOUND, broken=None, method=None, defended_prompt=None, defended_model=None, objective=None)
    assert checks.findings(bare) == []
    assert "no journal" in checks.unmade(bare)[0]
    assert "gradient was not checked" in checks.unmade(replace(SOUND, objective=None))[0]


def test_a_control_that_failed_is_said():
    gone = Row("dreambooth", Condition(CONTROL), failed="diverged")
    bare = replace(SOUND, rows=(CLEAN_ROW, replace(PROTECTED_ROW, held_out=Measure(rate=Estimate(0.6))), gone))
    assert checks.no_better_than_random(bare) is None
    assert checks.unmade(bare) == ["Against dreambooth the protection was not compared with random noise (diverged)."]


def test_one_attacker_of_two_that_failed_is_no_grave_doubt():
    other = tuple(replace(row, attack="lora", failed="diverged") for row in SOUND.rows)
    (found,) = checks.findings(replace(SOUND, rows=(*SOUND.rows, *other)))
    assert found.id == "attacker-did-not-learn" and not found.grave and "lora failed" in found.text


def test_grave_doubts_come_first():
    facts = replace(SOUND, seeds=(0,), unchanged=("a.png",), large=False)
    assert [finding.grave for finding in checks.findings(facts)] == [True, False, False]


def test_an_undefined_difference_is_not_one():
    undefined = rows(PROTECTED_ROW, held_out=NOTHING)
    assert checks.no_better_than_random(replace(SOUND, rows=undefined)) is None
