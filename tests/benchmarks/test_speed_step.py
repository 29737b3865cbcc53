"""The speed benchmark runs, on a tiny model, and its figures hang together."""

import json
import sys
from pathlib import Path

import pytest

import tiny

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks" / "speed"))
import step


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("speed") / "tiny"
    tiny.build("sd1").save_pretrained(path)
    return path


def arguments(folder: Path) -> list[str]:
    return ["--only", "embedded", "--model", str(folder), "--device", "cpu", "--steps", "6", "--batch", "3"]


def test_the_figures_hang_together(folder, capsys):
    assert step.main([*arguments(folder), "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["ratio"] == pytest.approx(result["engine_s"] / result["bare_s"])
    assert result["spread"][0] <= result["spread"][1]
    assert 0 < result["ratio"] < 20  # on a tiny model the engine's own work shows
    assert 0.05 < result["bare_peak_gib"] < 100 and 0.05 < result["engine_peak_gib"] < 100
    assert 0 < result["engine_s"] < result["singles_s"]
    assert (result["pixels"], result["batch"], result["steps"]) == (32, 3, 6)


def test_the_report_names_the_target_and_the_machine(folder, capsys):
    assert step.main(arguments(folder)) == 0
    text = capsys.readouterr().out
    for word in ("target 1.10", "threads", "usual loop", "3 pictures", "peak", "32 px"):
        assert word in text


def test_a_model_that_is_not_there_is_one_sentence(tmp_path, capsys):
    assert step.main(arguments(tmp_path / "gone")) == 3
    assert "gone" in capsys.readouterr().err
