"""The grid: which rows there are, what they share, and what decides a key."""

import collections
from dataclasses import replace

import pytest
import small

from unlearnable.bench import grid
from unlearnable.bench.run import prepare
from unlearnable.bench.study import Attack, Prompt
from unlearnable.errors import UsageError

TWO = (Attack("one", "scratch", "embedded", {"steps": 1}), Attack("two", "scratch", "embedded", {"steps": 2}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small.data(tmp_path_factory.mktemp("data"))


def keys(study) -> dict[grid.Point, str]:
    return {line.point: line.attack for line in prepare(study)[0].lines}


def test_rows_are_the_product_of_the_axes(folder):
    study = small.study(folder, attackers=TWO, budgets=("psnr:30", "linf:8"), seeds=(0, 1))
    found = grid.points(study, ["a", "b"])
    assert len(set(found)) == len(found)
    count = collections.Counter(p.method for p in found)
    # for each of 2 subjects: 2 attackers; x 2 seeds x 2 chains; x 2 budgets
    assert count == {"untouched": 2 * 2, "clean": 2 * 2 * 2 * 2, "random": 2 * 16, "advdm": 2 * 16}
    assert {p.budget for p in found if p.method in ("clean", "untouched")} == {""}
    assert [p.subject for p in found] == sorted(p.subject for p in found), "a subject is finished before the next"


def test_mismatches_are_tried_one_at_a_time_unless_crossed(folder):
    odd = {
        "shares": (1.0, 0.5),
        "prompts": (Prompt(), Prompt("other", "one {token}")),
        "defenders": ("same", "pixel:32"),
    }
    study = small.study(folder, **odd)
    found = [p for p in grid.points(study, ["a"]) if p.method == "advdm"]
    assert sorted((p.purify, p.share, p.prompt, p.defender) for p in found) == [
        ("jpeg:75", 1.0, "same", "pixel:16"),
        ("none", 0.5, "same", "pixel:16"),
        ("none", 1.0, "other", "pixel:16"),
        ("none", 1.0, "same", "pixel:16"),
        ("none", 1.0, "same", "pixel:32"),
    ]
    crossed = grid.points(replace(study, cross=True), ["a"])
    assert sum(p.method == "advdm" for p in crossed) == 2 * 2 * 2 * 2
    assert {p.defender for p in crossed if p.method in ("random", "clean")} == {"pixel:16"}  # no model decides these


def test_shared_work_is_one_task(folder):
    study = small.study(folder, attackers=TWO, budgets=("psnr:30", "linf:8"), prompts=(Prompt(), Prompt("b", "one")))
    plan, lines = prepare(study)
    count = collections.Counter(task.kind for task in plan.tasks.values())
    # protections: 2 subjects x 2 methods x 2 budgets, whoever attacks them; purified: these and the clean pictures
    assert count["protect"] == 2 * 2 * 2
    assert count["purify"] == 2 * (2 * 2 + 1)
    assert len(lines) == len(plan.lines) and len({line.attack for line in lines}) == count["attack"]
    order = list(plan.tasks)
    for key, task in plan.tasks.items():
        assert all(order.index(need.key) < order.index(key) for need in task.needs.values() if need.key in plan.tasks)


def test_an_untouched_model_is_one_task_for_attackers_that_start_from_it(folder):
    attackers = tuple(Attack(str(n), "scratch", "continued", {"steps": n}) for n in (1, 2))
    found = keys(small.study(folder, subjects=("objects/ball",), attackers=attackers))
    untouched = [key for point, key in found.items() if point.method == "untouched"]
    assert len(untouched) == 2 and len(set(untouched)) == 1


def test_keys_change_with_all_that_decides_a_result_and_with_nothing_else(folder, tmp_path):
    study = small.study(folder)
    before = keys(study)
    here = {
        p: k for p, k in before.items() if p.method == "advdm" and p.subject == "objects/ball" and p.purify == "none"
    }
    (point,) = here
    for same in ({"timeout": 5.0}, {"purify": ("none", "blur:1")}, {"subjects": ("objects/ball",)}, {"attackers": TWO}):
        other = keys(replace(study, **same))
        assert other.get(point, before[point]) == before[point]
    for differs in ({"steps": 3}, {"draws": 3}, {"strength": "paper"}, {"generated": 2}, {"features": "clip"}):
        assert keys(replace(study, **differs))[point] != before[point]
    moved = small.data(tmp_path, names=("objects/disc2", "objects/ball"))  # other pictures under the same names
    assert keys(replace(study, data=str(moved)))[point] != before[point]


def test_some_rows_can_be_chosen(folder):
    found = grid.points(small.study(folder, attackers=TWO), ["a", "b"])
    left = grid.chosen(found, ["method=advdm", "subject=a", "attack=one|two"])
    assert {p.method for p in left} == {"advdm", "clean", "untouched"} and {p.subject for p in left} == {"a"}
    assert {p.attack for p in left} == {"one", "two"}
    with pytest.raises(UsageError, match="did you mean 'subject'"):
        grid.chosen(found, ["subjet=a"])
    assert grid.chosen(found, ["method=advdm, subject=a", "attack=one|two"]) == left
    with pytest.raises(UsageError, match="no cell has subject=c: use one of a, b"):
        grid.chosen(found, ["subject=a|c"])
    half = [p for p in found if (p.subject, p.attack) in (("a", "one"), ("b", "two"))]
    with pytest.raises(UsageError, match="no cell is left by subject=a and attack=two"):
        grid.chosen(half, ["subject=a", "attack=two"])
