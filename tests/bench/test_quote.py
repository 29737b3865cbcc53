"""Documents say what the committed results say, and nothing staler."""

import json
import runpy
import shlex
from pathlib import Path

import pytest
import synthetic

from unlearnable.bench import quote
from unlearnable.bench.page import everything, load, overall
from unlearnable.bench.tables import table
from unlearnable.errors import UsageError

ROOT = Path(__file__).parents[2]
SMALL = {
    "subjects": 3, "methods": {"random": 0.0, "advdm": 0.5}, "attacks": {"dreambooth": 1.0, "lora": 0.5},
    "purifies": {"none": 1.0, "jpeg:75": 0.5}, "budgets": {"psnr:36.1": 1.0, "linf:8": 1.2},
}  # fmt: skip
PAGE = "# Title\n\n<!-- bench:{} -->\nold\n<!-- /bench -->\n\nafter\n"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return synthetic.save(tmp_path_factory.mktemp("results"), synthetic.rows(**SMALL))


def test_no_document_here_is_stale():
    script = runpy.run_path(str(ROOT / "benchmarks" / "quote.py"))
    assert ROOT / "README.md" in script["DOCUMENTS"]
    assert quote.update(script["DOCUMENTS"], script["RESULTS"], check=True) == []


def test_ldu_leads_on_the_embedded_model_and_nothing_is_shown_to_be_better_at_any_fidelity():
    rows = load(runpy.run_path(str(ROOT / "benchmarks" / "quote.py"))["RESULTS"])["rows"]
    tables = overall(everything(rows, "embedded"))
    assert {"psnr:36.1", "psnr:30.1", "perceptual:0.2"} <= {t.budget for t in tables}
    for t in tables:
        ldu = t.line("ldu")
        assert ldu in t.rivals and len(t.rivals) > 3
        assert all(t.apart(rival.method, ldu.method).low <= 0 for rival in t.rivals)
        assert ldu.mean.low > t.line("random").mean.high
    standard = next(t for t in tables if t.budget == "psnr:36.1")  # of ldu-fast a model needs a network of its own
    assert next(line for line in standard.rivals if line.method != "ldu-fast").method == "ldu"


@pytest.mark.parametrize("name", ["headline", "verdict", "methods", "attackers", "run", "psnr:36.1"])
def test_a_stale_document_is_found_and_renewed(results, tmp_path, name):
    document, bare = tmp_path / "a.md", tmp_path / "b.md"
    document.write_text(PAGE.format(name))
    bare.write_text("no marker")
    assert quote.update([document, bare], results, check=True) == [document]
    assert document.read_text() == PAGE.format(name), "a check writes nothing"
    assert quote.update([document, bare], results) == [document]
    text = document.read_text()
    assert "\nold\n" not in text and text.startswith("# Title") and text.endswith("<!-- /bench -->\n\nafter\n")
    assert "advdm" in text and quote.update([document, bare], results, check=True) == []
    document.write_text(text.replace("advdm", "advdn", 1))
    assert quote.update([document], results, check=True) == [document]


def test_kept_rows_lack_pictures_what_only_waits_and_paths_of_the_machine(results, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    folder.mkdir()
    found = json.loads((results / "rows.json").read_text())
    found["rows"][0]["samples"] = ["cells/a/000.png"]
    gone = {"subject": "objects/a", "method": "advdm", "message": "", "budget": "psnr:36.1", "attack": "lora"}
    found["missing"] = [gone | {"status": "waiting"}, gone | {"status": "failed"}]
    found["study"]["data"] = str(tmp_path / "data")
    found["command"] = shlex.join(["unlearnable", "bench", "run", str(tmp_path / "a b.toml"), "-o", "out"])
    (folder / "rows.json").write_text(json.dumps(found))
    monkeypatch.chdir(tmp_path)
    kept = json.loads(quote.kept(folder, tmp_path / "kept").read_text())
    assert [cell["status"] for cell in kept["missing"]] == ["failed"]
    assert kept["study"]["data"] == "data" and kept["command"] == "unlearnable bench run 'a b.toml' -o out"
    assert [row | {"samples": [], "protected": []} for row in found["rows"]] == kept["rows"]


def test_a_table_holds_the_rates(results, tmp_path):
    document = tmp_path / "a.md"
    document.write_text(PAGE.format("psnr:36.1"))
    quote.update([document], results)
    lines = [
        [cell.strip(" *") for cell in row.strip("|").split("|")]
        for row in document.read_text().splitlines()
        if "|" in row
    ]
    assert lines[0] == [
        "method", "as they are", "jpeg:75", "mean", "worst case", "PSNR, dB", "distance", "s a picture"
    ]  # fmt: skip
    assert [row[0] for row in lines[2:]] == ["untouched", "clean", "random", "advdm"]
    line = table(synthetic.rows(**SMALL), "embedded", "psnr:36.1").line("advdm")
    assert lines[-1][1] == f"{round(100 * line.cells['none'].value)} %"
    for cell, rate in zip(lines[-1][3:5], (line.mean, line.worst)):
        assert cell == f"{round(100 * rate.value)} % ({round(100 * rate.low)} to {round(100 * rate.high)})"
    assert lines[-1][5:7] == [f"{line.fidelity['psnr']:.1f}", "0.20"]


def test_methods_that_lack_subjects_say_so(results, tmp_path):
    rows = [r for r in synthetic.rows(**SMALL) if (r["method"], r["subject"]) != ("advdm", "objects/thing-1")]
    rows += [r | {"method": "sds"} for r in synthetic.rows(**SMALL) if r["method"] == "advdm"]
    short = synthetic.save(tmp_path / "short", rows)
    for name in ("methods", "attackers", "psnr:36.1"):
        (tmp_path / "a.md").write_text(PAGE.format(name))
        quote.update([tmp_path / "a.md"], short)
        (line,) = [row for row in (tmp_path / "a.md").read_text().splitlines() if "| advdm" in row]
        assert "2 of 3 subjects" in line


def test_an_unknown_marker_says_what_there_is(results, tmp_path):
    document = tmp_path / "a.md"
    document.write_text(PAGE.format("psnr:36"))
    with pytest.raises(UsageError, match=r"did you mean 'psnr:36\.1'"):
        quote.update([document], results)
