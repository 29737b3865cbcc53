"""The benchmark's tables against a slow textbook version and scipy; its page, whatever is missing."""

import csv
import json
import math
import random
import re
import sys

import numpy as np
import pyarrow.parquet
import pytest
import synthetic
from scipy import stats
from textbook import quotient, textbook

from unlearnable.bench import export, page, plots
from unlearnable.bench.findings import answer, checks, points
from unlearnable.bench.sums import HELD_OUT, OWN
from unlearnable.bench.tables import Variant, judge, table, variants
from unlearnable.errors import SetupError, UsageError

SMALL = {
    "subjects": 4, "methods": {"random": 0.0, "advdm": 0.5, "sds": 0.02}, "attacks": {"dreambooth": 1.0, "lora": 0.5},
    "purifies": {"none": 1.0, "jpeg:75": 0.5, "blur:1": 0.4}, "budgets": {"psnr:36.1": 1.0}, "seeds": (0, 1),
}  # fmt: skip


@pytest.fixture(scope="module")
def small():
    return synthetic.rows(**SMALL)


LOADS = r"""(?:src|srcset|data|action|poster)\s*=\s*["']([^"']*)|url\(([^)]*)\)|@import|<link|<iframe"""


@pytest.mark.parametrize("attack", ["", "lora"])
@pytest.mark.parametrize("judged", [HELD_OUT, OWN])
def test_rates_means_and_worst_cases_are_the_textbooks(small, attack, judged):
    got = table(small, "embedded", "psnr:36.1", attack, judged)
    for method in SMALL["methods"]:
        line = got.line(method)
        slow = {purify: textbook(small, method, purify, attack or None, judged) for purify in SMALL["purifies"]}
        for purify, found in slow.items():
            assert line.cells[purify].value == pytest.approx(quotient(found))
        subjects = list(slow["none"])
        pooled = {s: tuple(map(sum, zip(*[found[s] for found in slow.values()]))) for s in subjects}
        assert line.mean.value == pytest.approx(quotient(pooled))
        worst = crossfitted(slow)
        assert line.worst.value == pytest.approx(quotient(worst))
        assert line.each == pytest.approx({s: part / whole for s, (part, whole) in worst.items()})
    apart = got.line("advdm").worst.value - got.line("random").worst.value
    assert got.line("advdm").over.value == pytest.approx(apart)
    assert [line.method for line in got.lines] == ["untouched", "clean", "random", "advdm", "sds"]


def crossfitted(slow):
    """Each subject behind the countermeasure that leaves least of the other half of the subjects."""
    subjects, chosen = list(slow["none"]), {}
    for i, subject in enumerate(subjects):
        others = [s for j, s in enumerate(subjects) if j % 2 != i % 2]
        worst = min(slow, key=lambda purify: quotient({s: slow[purify][s] for s in others}))
        chosen[subject] = slow[worst][subject]
    return chosen


def test_intervals_are_t_tests():
    rows = synthetic.rows(**SMALL | {"subjects": 12})
    got = table(rows, "embedded", "psnr:36.1")
    part, whole = (np.array(side) for side in zip(*textbook(rows, "advdm", "jpeg:75").values()))
    mine = got.line("advdm").cells["jpeg:75"]
    for end in (mine.low, mine.high):
        assert stats.ttest_1samp(part - end * whole, 0).pvalue == pytest.approx(0.05, abs=1e-6)
    assert mine == table(rows, "embedded", "psnr:36.1").line("advdm").cells["jpeg:75"], "repeatable"


def test_what_was_not_learned_is_listed_and_counts_nowhere(small):
    """The textbook leaves such cells out as well; a subject that lost a cell has no worst case, but its other cells."""
    rows = [dict(r) for r in small]
    for r in rows:
        if r["subject"] == "objects/thing-0" and r["method"] == "clean" and r["attack"] == "lora":
            r["held_out"] = [0.995 * x for x in rows[0]["held_out"]]
    got = table(rows, "embedded", "psnr:36.1")
    assert {(u.subject, u.attack) for u in got.baseline.unlearned} == {("objects/thing-0", "lora")}
    assert all(u.gain == pytest.approx(0.005) for u in got.baseline.unlearned) and len(got.baseline.unlearned) == 6
    for purify in SMALL["purifies"]:
        assert got.line("sds").cells[purify].value == pytest.approx(quotient(textbook(rows, "sds", purify)))
    gone = [r for r in rows if (r["subject"], r["method"], r["purify"]) != ("objects/thing-1", "sds", "jpeg:75")]
    line = table(gone, "embedded", "psnr:36.1").line("sds")
    assert sorted(line.each) == ["objects/thing-0", "objects/thing-2", "objects/thing-3"]
    assert line.cells["none"].value == pytest.approx(got.line("sds").cells["none"].value)
    assert math.isnan(
        table([r for r in rows if r["subject"] == "objects/thing-2"], "embedded", "psnr:36.1").line("sds").worst.low
    )


def test_held_out_photographs_judge_unless_few_attackers_learned_them(small):
    assert judge(small, "embedded") == HELD_OUT
    flat = [r | {"held_out": [1.0] * 4} if r["attack"] in ("", "lora", "dreambooth") else r for r in small]
    assert judge(flat, "embedded") == OWN


def test_the_headline_goes_by_the_interval(small):
    tables = [table(small, "embedded", "psnr:36.1")]
    said = answer(tables)
    assert said.headline.startswith("At equal fidelity (psnr:36.1) advdm protects best:")
    weak = synthetic.rows(**SMALL | {"methods": {"random": 0.3, "sds": 0.3}})
    tables = [table(weak, "embedded", "psnr:36.1")]
    assert "no method is shown to protect more than random noise" in answer(tables).headline
    raised = {finding.id: finding.grave for finding in checks(synthetic.study(weak), tables, tables[0])}
    assert raised["no-better-than-random"] and {"few-subjects", "small-model", "defenders-model"} <= set(raised)
    assert "one-seed" not in raised
    uneven = [
        r | {"fidelity": r["fidelity"] and {**r["fidelity"], "psnr": 38.0}} if r["method"] == "sds" else r for r in weak
    ]
    tables = [table([r for r in uneven if r["method"] != "random"], "embedded", "psnr:36.1")]
    said = {finding.id: finding.text for finding in checks(synthetic.study(uneven), tables, tables[0])}
    assert "sds 38" in said["fidelity-not-equal"] and "no-control" in said


def test_variants_are_judged_by_what_they_were_tried_with(small):
    half = [r | {"share": 0.5} for r in small if r["method"] in ("advdm", "random") and r["purify"] == "none"]
    (found,) = variants([*small, *half], "embedded")
    assert found == Variant("same", "embedded", 0.5)
    got = table([*small, *half], "embedded", "psnr:36.1", under=found)
    assert got.baseline.purifies == ("none",)
    plain = table(small, "embedded", "psnr:36.1").line("advdm").cells["none"]
    assert (
        got.line("advdm").worst == plain == table([*small, *half], "embedded", "psnr:36.1").line("advdm").cells["none"]
    )


def test_controls_are_there_for_every_defender(small):
    """They ask no model, so the grid has them once; what only another model's defender tried is the plain case then."""
    foreign = [r | {"defender": "other"} if r["method"] not in ("random", "clean", "untouched") else r for r in small]
    got = table(foreign, "embedded", "psnr:36.1")
    assert got.variant == Variant("same", "other", 1.0) and not variants(foreign, "embedded")
    plain = table(small, "embedded", "psnr:36.1")
    assert [(x.method, x.worst, x.over) for x in got.lines] == [(x.method, x.worst, x.over) for x in plain.lines]


def test_what_nobody_tried_is_held_against_nobody(small):
    """A run that was stopped: clean pictures of both attackers, the rest against one of them, and no jpeg of sds."""
    part = [r for r in small if r["method"] in ("clean", "untouched") or r["attack"] == "lora"]
    part = [r for r in part if not r["budget"] or r["purify"] != "blur:1"]
    got, alone = table(part, "embedded", "psnr:36.1"), table(part, "embedded", "psnr:36.1", "lora")
    assert got.baseline.purifies == ("none", "jpeg:75") and got.line("advdm").worst == alone.line("advdm").worst
    assert got.line("advdm").mean.value == pytest.approx(quotient_of(part, "advdm", ("none", "jpeg:75")))
    short = [r for r in part if (r["method"], r["purify"]) != ("sds", "jpeg:75")]
    got = table(short, "embedded", "psnr:36.1")
    assert not got.line("sds").worst.defined and len(got.line("advdm").each) == 4
    assert got.line("sds").cells["none"].defined and not got.line("sds").cells["jpeg:75"].defined


def test_a_method_that_lacks_subjects_is_no_rival(small):
    """On one subject alone it may well look best."""
    lucky = [r | {"held_out": [2 * x for x in r["held_out"]]} if r["method"] == "sds" else r for r in small]
    lucky = [r for r in lucky if r["method"] != "sds" or r["subject"] == "objects/thing-0"]
    got = table(lucky, "embedded", "psnr:36.1")
    assert got.line("sds").worst.value > got.line("advdm").worst.value and got.best.method == "advdm"
    assert [line.method for line in got.ranked] == ["advdm", "random", "sds"] and len(got.rivals) == 1
    assert answer([got]).headline.startswith("At equal fidelity (psnr:36.1) advdm protects best:")


def quotient_of(rows, method, purifies):
    found = [textbook(rows, method, purify).values() for purify in purifies]
    return sum(part for each in found for part, _ in each) / sum(whole for each in found for _, whole in each)


def test_a_filter_is_a_control_and_never_the_best():
    methods = {"random": 0.0, "desaturate": 0.9, "advdm": 0.5, "mist": 0.2}
    got = table(synthetic.rows(**SMALL | {"methods": methods}), "embedded", "psnr:36.1")
    said = answer([got])
    assert got.best.method == "advdm" and [line.method for line in got.rivals] == ["advdm", "mist"]
    assert said.headline.startswith("At equal fidelity (psnr:36.1) advdm protects best:")
    control = next(text for text in said.sentences if "desaturate" in text)
    gap = got.apart("advdm", "desaturate")
    assert gap.high < 0 and points(gap) in control and "more than chance" in control


def test_csv_and_parquet_hold_the_same_figures(small, tmp_path):
    tables = [table(small, "embedded", "psnr:36.1", attack) for attack in ("", "lora")]
    export.csv(tables, tmp_path / "table.csv")
    export.parquet(tables, tmp_path / "table.parquet")
    records = export.records(tables)
    assert pyarrow.parquet.read_table(tmp_path / "table.parquet").to_pylist() == records
    with (tmp_path / "table.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(records) == 2 * 5 * (3 + 3)
    for line, record in zip(lines, records):
        assert line == {key: "" if value is None else str(value) for key, value in record.items()}
    assert {line["attack"] for line in lines} == {"all", "lora"}


def test_the_page_needs_nothing_else(tmp_path):
    rows = synthetic.rows(**SMALL | {"subjects": 2, "budgets": {"psnr:36.1": 1.0, "psnr:40": 0.5, "linf:8": 1.0}})
    lost = {
        "model": "embedded", "subject": "objects/<b>", "method": "mist", "budget": "psnr:36.1", "purify": "none",
        "attack": "lora", "prompt": "same", "share": 1.0, "seed": 0, "status": "failed", "message": "it <broke>",
    }  # fmt: skip
    out = synthetic.save(tmp_path, rows, [lost], pictures=True)
    text = page.write(out).read_text()
    assert text.count("<svg") > 3 and text.count('src="data:image/webp;base64,') == 2 * (4 + 8)
    assert len(text) < 8_000_000 and "<script" not in text
    loads = re.findall(LOADS, text)
    assert all(a.startswith("data:") or b.startswith("#") for a, b in loads), loads
    assert "it &lt;broke&gt;" in text and "<b>" not in text
    assert "unlearnable bench run embedded.toml" in text and "random noise of the same budget" in text
    assert "arxiv.org/abs/2302.04578" in text, "AdvDM is to be cited"
    assert {path.name for path in out.glob("table.*")} == {"table.csv", "table.parquet"}
    assert page.write(out).read_text() == text, "the same again"


def test_pieces_that_are_missing_do_not_break_it(tmp_path, small, monkeypatch):
    with pytest.raises(UsageError, match=r"holds no rows\.json"):
        page.write(tmp_path)
    nothing = [{key: value for key, value in r.items() if key not in ("prompt", "defender", "share")} for r in small]
    thin = [r | {"similarity": None, "trained": None, "fidelity": None} for r in nothing]
    draw = random.Random(0)
    for rows in ([], small[:1], small[:2], thin, draw.sample(small, 60), [r for r in small if r["method"] != "clean"]):
        (tmp_path / "rows.json").write_text(json.dumps({"rows": rows}))
        text = page.write(tmp_path).read_text()
        assert "unlearnable benchmark" in text and "What to doubt" in text
    monkeypatch.setattr(page, "find_spec", lambda name: None)
    many = synthetic.rows(**SMALL | {"budgets": {"psnr:36.1": 1.0, "psnr:40": 0.5}})
    assert "Effect versus budget" not in page.write(synthetic.save(tmp_path, many)).read_text()


def test_without_pyarrow_everything_else_is_written(tmp_path, small, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SetupError, match=r"pip install 'unlearnable\[bench\]'"):
        page.write(synthetic.save(tmp_path, small))
    assert (tmp_path / "report.html").exists() and (tmp_path / "table.csv").exists()


def test_losses_that_are_not_finite_are_cells_that_lack(small, tmp_path):
    broken = [dict(r) for r in small]
    first = next(r for r in broken if r["method"] == "sds")
    first["held_out"] = [None, *first["held_out"][1:]]
    got = table(broken, "embedded", "psnr:36.1").line("sds")
    assert len(got.each) == 3 and math.isfinite(got.worst.value)


def test_curves_show_every_method_where_there_are_several_budgets():
    rows = synthetic.rows(**SMALL | {"budgets": {"psnr:36.1": 1.0, "psnr:40": 0.5, "linf:8": 1.0}})
    tables = [table(rows, "embedded", budget) for budget in ("psnr:36.1", "psnr:40", "linf:8")]
    ((title, svg),) = plots.curves(tables)
    assert title == "Equal PSNR" and all(name in svg for name in (*SMALL["methods"], "36.1", "40"))
    assert (title, svg) == plots.curves(tables)[0], "reproducible"


def test_every_countermeasure_has_a_panel_with_every_methods_rate(small, monkeypatch):
    figures, save = [], plots.saved
    monkeypatch.setattr(plots, "saved", lambda figure: figures.append(figure) or save(figure))
    svg = plots.multiples(table(small, "embedded", "psnr:36.1"))
    assert svg == plots.multiples(table(small, "embedded", "psnr:36.1")), "reproducible"
    panels = {panel.get_title(loc="left"): panel for panel in figures[0].axes if panel.get_visible()}
    assert list(panels) == ["as they are", "jpeg:75", "blur:1", "worst case"]
    methods = [label.get_text() for label in panels["as they are"].get_yticklabels()]
    assert methods == ["random", "sds", "advdm"]  # the best on top
    for title, purify in (("as they are", "none"), ("jpeg:75", "jpeg:75")):
        assert len(panels[title].containers) == len(methods)
        for at, (method, drawn) in enumerate(zip(methods, panels[title].containers)):
            ((x,), (y,)) = drawn.lines[0].get_data()
            assert y == at and x == pytest.approx(100 * quotient(textbook(small, method, purify, None, HELD_OUT)))
