"""Two methods beside each other: rates and differences against the slow textbook and scipy; what cannot be compared."""

import json

import numpy as np
import pytest
import synthetic
from scipy import stats
from textbook import quotient, textbook
from typer.testing import CliRunner

from unlearnable.bench.compare import comparable, compare
from unlearnable.cli import app
from unlearnable.errors import UsageError

PURIFIES = {"none": 1.0, "jpeg:75": 0.5, "blur:1": 0.4}
METHODS = {"random": 0.0, "advdm": 0.5, "mist": 0.3}
SMALL = {"methods": METHODS, "attacks": {"lora": 1.0}, "purifies": PURIFIES, "budgets": {"psnr:36.1": 1.0}}


@pytest.fixture(scope="module")
def rows():
    return synthetic.rows(subjects=12, **SMALL)


def test_each_difference_is_that_of_the_textbooks_rates(rows):
    (t,) = comparable(rows, "advdm", "mist")
    lines = {line.where: line for line in compare(t, "advdm", "mist")}
    assert list(lines) == [*PURIFIES, "mean", "worst case"] and {line.subjects for line in lines.values()} == {12}
    slow = {method: {purify: textbook(rows, method, purify) for purify in PURIFIES} for method in ("advdm", "mist")}
    for purify in PURIFIES:
        first, second = (quotient(slow[method][purify]) for method in ("advdm", "mist"))
        found = lines[purify]
        assert (found.first.value, found.second.value) == pytest.approx((first, second))
        assert found.gap.value == pytest.approx(first - second)
    pooled = {
        m: {s: tuple(map(sum, zip(*[f[s] for f in each.values()]))) for s in each["none"]} for m, each in slow.items()
    }
    gap = lines["mean"].gap
    assert gap.value == pytest.approx(quotient(pooled["advdm"]) - quotient(pooled["mist"]))
    columns = [np.array(side) for each in pooled.values() for side in zip(*each.values())]
    want = stats.bootstrap(  # an independent interval of about the same width, for twelve subjects
        columns, lambda a, b, c, d, axis=-1: a.sum(axis) / b.sum(axis) - c.sum(axis) / d.sum(axis), paired=True,
        method="percentile", n_resamples=9999, rng=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    assert 1 < (gap.high - gap.low) / (want.high - want.low) < 1.35
    assert gap.low > 0, "known to be better"
    back = {line.where: line.gap.value for line in compare(t, "mist", "advdm")}
    assert back == pytest.approx({where: -line.gap.value for where, line in lines.items()})


def test_only_subjects_that_have_all_cells_of_both_count(rows):
    lost = ("objects/thing-1", "mist", "jpeg:75")
    left = [r for r in rows if (r["subject"], r["method"], r["purify"]) != lost]
    (t,) = comparable(left, "advdm", "mist")
    lines = {line.where: line for line in compare(t, "advdm", "mist")}
    assert {line.subjects for line in lines.values()} == {11}
    spared = [r for r in rows if r["subject"] != "objects/thing-1"]
    assert lines["none"].first.value == pytest.approx(quotient(textbook(spared, "advdm", "none")))
    (t,) = comparable(left, "advdm", "mist", ["purify=none"])
    assert [(line.where, line.subjects) for line in compare(t, "advdm", "mist")] == [
        ("none", 12), ("mean", 12), ("worst case", 12),
    ]  # fmt: skip
    gone = [r for r in rows if (r["method"], r["purify"]) != ("mist", "blur:1")]
    (t,) = comparable(gone, "advdm", "mist")
    assert compare(t, "advdm", "mist") == []


def test_what_the_rows_do_not_hold_is_one_sentence(rows):
    with pytest.raises(UsageError, match="the rows hold no method 'mits': did you mean"):
        comparable(rows, "advdm", "mits")
    with pytest.raises(UsageError, match="no cell has purify=blur: did you mean 'blur:1'"):
        comparable(rows, "advdm", "mist", ["purify=blur"])


def test_the_command_prints_what_was_compared(rows, tmp_path):
    (tmp_path / "rows.json").write_text(json.dumps({"rows": rows}))
    done = CliRunner().invoke(app, ["bench", "compare", str(tmp_path), "advdm", "mist", "--only", "purify=none|blur:1"])
    assert done.exit_code == 0
    (t,) = comparable(rows, "advdm", "mist", ["purify=none|blur:1"])
    gap = compare(t, "advdm", "mist")[-1].gap
    last = done.output.splitlines()[-1]
    assert last.split()[:2] == ["worst", "case"] and f"{100 * gap.value:.1f} ({100 * gap.low:.1f} to" in last
    assert [line.split()[0] for line in done.output.splitlines()[2:]] == ["none", "blur:1", "mean", "worst"]
