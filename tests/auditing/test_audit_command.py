"""`unlearnable audit` as its user meets it: two streams, an exit code, one sentence for each mistake."""

import json
import sys
from pathlib import Path

import pytest

import tiny
from audited import PROMPT, guarded, network, save, unfitted
from unlearnable import cli


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """Pictures with their protected twins, a model in a folder and a feature network in another."""
    root = tmp_path_factory.mktemp("command")
    names = [f"{i}.png" for i in range(4)]
    guarded(save(root / "clean", names), root / "protected", unfitted())
    tiny.build("sd1").save_pretrained(root / "model")
    network().save(root / "features")
    return root


@pytest.fixture
def command(machine, monkeypatch, capsys):
    monkeypatch.chdir(machine)

    def run(*words) -> tuple[int, str, str]:
        usual = ["audit", "clean", "protected", "-o", "report", "--model", "model", "--prompt", PROMPT]
        usual += ["--features", "embedded-features:features", "--purify", "none", "--steps", "2", "--generated", "1"]
        monkeypatch.setattr(sys, "argv", ["unlearnable", *usual, *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return int(end.value.code or 0), said.out, said.err

    return run


def test_results_on_stdout_progress_and_doubts_on_stderr(command, machine):
    code, out, err = command("--json")
    assert code == 0
    report = json.loads(out)
    assert report == json.loads(Path("report/report.json").read_text()) and len(report["rows"]) == 4
    assert report["command"].startswith("unlearnable audit clean protected -o report --purify none --prompt")
    assert "0 of 4 done: dreambooth, untouched model, seed 0" in err and "3 of 4 done, about" in err
    assert "doubt: " in err and "docs/explanation/limits.md#one-seed" in err

    (machine / "protected" / "5.png").write_bytes(b"no picture")
    (machine / "clean" / "5.png").write_bytes((machine / "clean" / "0.png").read_bytes())
    code, out, err = command()
    (machine / "clean" / "5.png").unlink(), (machine / "protected" / "5.png").unlink()
    assert code == 1 and "left out: protected/5.png" in err
    assert out.splitlines()[:2] == [report["encoders"]["summary"], report["verdict"]["headline"]]
    assert out.splitlines()[-1] == "report/report.html"


def test_a_dry_run_needs_no_model_and_writes_nothing(command, machine):
    code, out, err = command("--model", "no/such", "--out", "nowhere", "--dry-run", "--seeds", "0,1")
    assert code == 0 and len(out.splitlines()) == 7 and "2 pairs to train on, 2 photographs held out" in err
    assert not (machine / "nowhere").exists()


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--attack", "dreambuth"], 2, "did you mean 'dreambooth'"),
        (["--attack", ","], 2, "attacks is empty"),
        (["--purify", "jpge:75"], 2, "did you mean 'jpeg'"),
        (["--seeds", "one"], 2, "'one' is not a list of whole numbers: join some with commas"),
        (["--prompt", "a dog"], 2, "does not hold the token 'sks'"),
        (["--preset", "grand"], 2, "unknown preset 'grand'"),
        (["--held-out", "nowhere"], 2, "nowhere does not exist"),
        (["--out", "protected/report"], 2, "would lie in protected"),
        (
            ["--out", "model/model_index.json"],
            2,
            "cannot use 'model/model_index.json' as the output folder",
        ),
        (["--features", "embeded-features"], 2, "did you mean 'embedded-features'"),
        (["--features", "embedded-features:nowhere"], 3, "cannot be loaded from nowhere"),
        (["--model", "no/such", "--offline"], 3, "not on this machine"),
    ],
)
def test_mistakes_are_one_sentence(command, words, code, sentence):
    found, out, err = command(*words)
    assert found == code and sentence in err and out == ""


def test_an_interruption_says_how_to_go_on(command, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("unlearnable.auditing.run.audit", interrupted)
    code, _, err = command()
    assert code == 130 and "the same command goes on from here" in err
