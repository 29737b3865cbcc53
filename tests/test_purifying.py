"""Countermeasures on files: names, sizes, alpha, grey kept; bad files survived, finished ones skipped; the command."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

import unlearnable
from tiny import adapt, build, pictures
from unlearnable import cli
from unlearnable.errors import SetupError, UsageError
from unlearnable.images import files
from unlearnable.images.tensors import tensor
from unlearnable.jobs import purify as purifying
from unlearnable.purification.chain import parse


def save(path, width=40, height=33, seed=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (pictures(1, seed, 64)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    Image.fromarray(pixels[:height, :width]).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    for i, name in enumerate(("a.png", "b.jpg", "deep/c.webp", "deep/er/d.bmp", "e.tiff")):
        save(tmp_path / "in" / name, 40 + 5 * i, seed=i)
    return tmp_path / "in"


def run(inputs, out, how="jpeg:60", **options):
    return list(unlearnable.purify(inputs, out, how, **options))


def test_folder_is_mirrored_and_files_hold_what_the_chain_made(folder, tmp_path):
    results = run([folder], tmp_path / "out", "noise:9+jpeg:60", seed=4, recursive=True)
    assert [r.status for r in results] == ["purified"] * 5
    assert {r.output.relative_to(tmp_path / "out").as_posix() for r in results} == {
        "a.png", "b.png", "deep/c.webp", "deep/er/d.bmp", "e.tiff",
    }  # fmt: skip
    for r in results:
        before, after = files.read(r.source).pixels, files.read(r.output).pixels
        expected = parse("noise:9+jpeg:60")(tensor(before)[None] / 255, 4)[0] * 255
        assert (tensor(after) == expected.round()).all()
        change = after.astype(int) - before
        assert r.measured["linf"] == np.abs(change).max() > 0
        assert r.measured["psnr"] == pytest.approx(20 * np.log10(255 / np.sqrt(np.square(change).mean())), abs=1e-3)


def test_alpha_and_profile_are_carried_and_grey_stays_grey(tmp_path):
    save(tmp_path / "colour.png")
    picture = Image.open(tmp_path / "colour.png")
    alpha = Image.linear_gradient("L").resize(picture.size)
    picture.putalpha(alpha)
    picture.save(tmp_path / "alpha.png", icc_profile=b"")
    picture.convert("L").save(tmp_path / "grey.png")
    first, second = run([tmp_path / "alpha.png", tmp_path / "grey.png"], tmp_path / "out", "noise:20+blur:1")
    back = Image.open(first.output)
    assert back.mode == "RGBA" and (np.asarray(back)[..., 3] == np.asarray(alpha)).all()
    assert Image.open(second.output).mode == "L" and second.measured["changed"] > 0.5


def test_none_gives_the_same_samples_back(folder, tmp_path):
    for r in run([folder], tmp_path / "out", "none", recursive=True):
        assert (files.read(r.source).pixels == files.read(r.output).pixels).all() and r.measured["linf"] == 0


def test_one_bad_file_does_not_stop_the_rest(folder, tmp_path):
    (folder / "bad.png").write_bytes((folder / "a.png").read_bytes()[:99])
    (folder / "zero.jpg").write_bytes(b"")
    told = []
    results = run([folder, folder / "gone.png"], tmp_path / "out", progress=lambda *at: told.append(at))
    assert {r.source.name: r.status for r in results} == {
        "a.png": "purified", "b.jpg": "purified", "e.tiff": "purified",
        "bad.png": "failed", "zero.jpg": "failed", "gone.png": "failed",
    }  # fmt: skip
    assert all(str(r.source.name) in r.message for r in results if r.status == "failed")
    assert told == [(i, 6) for i in range(1, 7)]


def test_finished_files_are_skipped_by_content_chain_and_seed(folder, tmp_path):
    out = tmp_path / "out"
    run([folder], out)
    assert {r.status for r in run([folder], out)} == {"skipped"}
    assert {r.status for r in run([folder], out, " jpeg:60 ")} == {"skipped"}, "the same chain, written otherwise"
    assert {r.status for r in run([folder], out, overwrite=True)} == {"purified"}
    assert {r.status for r in run([folder], out, seed=1)} == {"purified"}
    assert {r.status for r in run([folder], out, "jpeg:61")} == {"purified"}
    save(folder / "a.png", seed=99)
    (out / "e.tiff").unlink()
    assert [r.status for r in run([folder], out, "jpeg:61")] == ["purified", "skipped", "purified"]


def test_models_are_used_only_where_they_are_needed(folder, tmp_path, monkeypatch):
    with pytest.raises(SetupError, match="'no/such' is not on this machine and offline mode is on"):
        run([folder], tmp_path / "out", "vae", model="no/such", offline=True)
    assert not (tmp_path / "out").exists()
    assert {r.status for r in run([folder], tmp_path / "out", "blur", model="no/such")} == {"purified"}
    model = adapt(build("sd1"), "tiny")
    results = run([folder], tmp_path / "out", "vae+jpeg:90", model=model)
    for r in results:
        expected = parse("vae+jpeg:90", model)(tensor(files.read(r.source).pixels)[None] / 255)[0] * 255
        assert (tensor(files.read(r.output).pixels) == expected.round()).all()
    lines = [json.loads(line) for line in (tmp_path / "out" / "unlearnable.jsonl").read_text().splitlines()]
    heads = [line["run"] for line in lines if "run" in line]
    assert [(head["how"], head["model"]) for head in heads] == [("blur:1", None), ("vae+jpeg:90", "tiny")]


def test_inputs_are_never_written(folder, tmp_path):
    with pytest.raises(UsageError, match="choose another output folder"):
        run([folder], folder)
    out, liar = tmp_path / "out", tmp_path / "lies" / "deep" / "x.webp"
    save(out / "deep" / "x.png")
    save(liar, format="JPEG")  # becomes x.png, which its name did not say
    before = (out / "deep" / "x.png").read_bytes()
    results = run([tmp_path / "lies", out / "deep" / "x.png"], out, recursive=True)
    assert [r.status for r in results] == ["failed", "purified"] and "is one of the inputs" in results[0].message
    assert (out / "deep" / "x.png").read_bytes() == before


def test_a_wrong_chain_is_said_before_anything_is_written(folder, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'jpeg'"):
        run([folder], tmp_path / "out", "jpg")
    assert not (tmp_path / "out").exists()


def command(monkeypatch, capsys, *words):
    """Exit code and the two streams of the command, in this process."""
    monkeypatch.setattr(sys, "argv", ["unlearnable", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        cli.main()
        sys.exit(0)
    return left.value.code or 0, *capsys.readouterr()


def test_command_results_on_stdout_remarks_on_stderr(folder, tmp_path, monkeypatch, capsys):
    words = ("purify", folder, "-o", tmp_path / "out", "--how", "resize:0.5", "--seed", "3")
    code, said, remarks = command(monkeypatch, capsys, *words)
    assert code == 0 and said.count("PSNR") == 3 and "3 purified; journal in" in remarks
    code, said, remarks = command(monkeypatch, capsys, *words, "--json")
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line["status"] for line in lines] == ["skipped"] * 3 and all(line["measured"]["psnr"] for line in lines)
    for _ in range(2):  # an unchanged picture has no finite PSNR, neither when it is made nor when it is read again
        code, said, _ = command(monkeypatch, capsys, *words[:4], "--how", "none", "--json")
        assert code == 0 and [json.loads(line)["measured"]["psnr"] for line in said.splitlines()] == [None] * 3


def test_command_lists_what_there_is(monkeypatch, capsys):
    code, said, _ = command(monkeypatch, capsys, "purify", "--list")
    listed = {line.split()[0] for line in said.splitlines()}
    assert code == 0 and {"jpeg", "diffpure", "gridpure", "impress", "upscale"} <= listed


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--how", "jpg"), 2, "unknown purifier 'jpg': did you mean 'jpeg'?"),
        (("--how", "jpeg:0"), 2, "JPEG quality 0 is out of range: give 1 to 100"),
        (("--how", "diffpure", "--model", "no/such", "--offline"), 3, "'no/such' is not on this machine"),
    ],
)
def test_command_mistakes_are_one_sentence(words, code, sentence, folder, tmp_path, monkeypatch, capsys):
    left, said, remarks = command(monkeypatch, capsys, "purify", folder, "-o", tmp_path / "out", *words)
    assert left == code and sentence in remarks and not said and "Traceback" not in remarks


def test_command_says_which_files_failed(folder, tmp_path, monkeypatch, capsys):
    (folder / "bad.png").write_bytes(b"no picture")
    code, said, remarks = command(monkeypatch, capsys, "purify", folder, "-o", tmp_path / "out")
    assert code == 1 and "bad.png" in remarks and "3 purified, 1 failed" in remarks and said.count("PSNR") == 3


def test_command_that_is_interrupted_says_how_to_go_on(folder, tmp_path, monkeypatch, capsys):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(purifying, "purified", stopped)
    code, _, remarks = command(monkeypatch, capsys, "purify", folder, "-o", tmp_path / "out")
    assert code == 130 and "the same command goes on" in remarks
