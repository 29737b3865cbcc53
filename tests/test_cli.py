"""The command as its user meets it: a process with arguments, two streams and an exit code."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tiny
from commands import command

COMMAND = [sys.executable, "-m", "unlearnable.cli"]
QUICK = "--method", "advdm", "--steps", "2"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny.build("sd1").save_pretrained(folder)
    return folder


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "in").mkdir()
    for i, x in enumerate(tiny.pictures(3, seed=5, side=48)):
        pixels = (x.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "in" / f"{i}.png")
    return tmp_path / "in"


def test_help_is_fast_and_without_torch():
    script = "import sys, unlearnable.cli as c\ntry: c.app(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    loaded = (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.splitlines()[-1].split()
    )
    assert "typer" in loaded and not {"torch", "diffusers", "transformers", "numpy", "PIL"} & set(loaded)
    assert "protect" in command("--help").stdout and "Examples" in command("protect", "--help").stdout


def test_noise_needs_neither_a_model_nor_its_libraries(photos, tmp_path):
    script = (
        "import sys, unlearnable.cli as c\ntry: c.app(sys.argv[1:])\nexcept SystemExit as end: code = end.code\n"
        "print(code, *sys.modules)"
    )
    out = str(tmp_path / "out")
    done = subprocess.run(
        [sys.executable, "-c", script, "protect", str(photos), "-o", out, "--method", "random"],
        capture_output=True,
        text=True,
    )
    code, *loaded = done.stdout.splitlines()[-1].split()
    assert code == "0" and len(list(Path(out).glob("*.png"))) == 3, done.stderr
    assert "torch" in loaded and not {"diffusers", "transformers", "peft", "kornia", "matplotlib"} & set(loaded)


def test_protect_results_on_stdout_remarks_on_stderr(photos, model, tmp_path):
    done = command("protect", photos, "-o", tmp_path / "out", "--model", model, *QUICK, "--json", "--compare")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 3 and all(line["status"] == "protected" for line in lines)
    assert all(line["measured"]["linf"] <= 6 for line in lines)
    assert "3 protected" in done.stderr
    assert Image.open(tmp_path / "out" / "compare" / "0.png").width > 3 * 48
    again = command("protect", photos, "-o", tmp_path / "out", "--model", model, *QUICK)
    assert again.returncode == 0 and "3 skipped" in again.stderr and again.stdout.count("finished before") == 3


def test_recipe_file_and_flags_over_it(photos, model, tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text(f'method = "random"\npsnr = 40\nmodel = "{model}"\n')
    done = command("protect", photos, "-o", tmp_path / "a", "--recipe", recipe, "--json")
    assert all(40 <= json.loads(line)["measured"]["psnr"] < 41 for line in done.stdout.splitlines()), done.stderr
    done = command(
        "protect", photos, "-o", tmp_path / "b", "--recipe", recipe, "--eps", 3, "--strength", "paper", "--json"
    )
    assert {json.loads(line)["measured"]["linf"] for line in done.stdout.splitlines()} == {3}


def test_dry_run_writes_nothing_and_needs_no_model(photos, tmp_path):
    done = command("protect", photos, "-o", tmp_path / "out", "--dry-run", "--model", "no/such")
    assert done.returncode == 0 and "nothing written" in done.stderr and done.stdout.count("->") == 3
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--method", "advmd"], 2, "did you mean 'advdm'"),
        (["--strength", "max"], 2, "use one of subtle, standard, strong, paper"),
        (["--eps", "300"], 2, "eps 300 is out of range: give 0 to 255"),
        (["--eps", "4", "--psnr", "36"], 2, "2 budgets: give one of them"),
        (["--resolution", "8"], 2, "resolution 8 is too small"),
        (["--format", "gif"], 2, "choose one of png"),
        (["--recipe", "missing.toml"], 2, "missing.toml"),
        (["--model", "no/such-model", "--offline"], 3, "'no/such-model' is not on this machine and offline mode is on"),
        (["--device", "cuda:7"], 3, "use --device cpu"),
        (["--device", "abacus"], 2, "use auto, cpu, cuda"),
        (["--nonsense"], 2, "No such option"),
    ],
)
def test_mistakes_are_one_sentence(words, code, sentence, photos, model, tmp_path):
    given = ["--model", model] if "--model" not in words else []
    done = command("protect", photos, "-o", tmp_path / "out", *QUICK, *given, *words)
    assert done.returncode == code and sentence in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""


@pytest.mark.parametrize("text", ["metod = 'x'", "steps = 'many'", "method = ", "seed = true"])
def test_bad_recipes_name_the_setting(text, photos, tmp_path):
    (tmp_path / "r.toml").write_text(text)
    done = command("protect", photos, "-o", tmp_path / "out", "--recipe", tmp_path / "r.toml")
    assert done.returncode == 2 and "r.toml" in done.stderr and "Traceback" not in done.stderr


def test_hostile_inputs_fail_one_by_one_and_exit_1(photos, model, tmp_path):
    rng = np.random.default_rng(0)
    whole = (photos / "0.png").read_bytes()
    (photos / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (photos / "zero.jpg").write_bytes(b"")
    (photos / "eps.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n")
    bomb = bytearray(whole)
    bomb[16:24] = (60000).to_bytes(4, "big") * 2
    (photos / "bomb.png").write_bytes(bomb)
    Image.new("RGB", (1, 65535)).save(photos / "thin.png")
    frames = [Image.fromarray(rng.integers(0, 255, (32, 32, 3)).astype(np.uint8)) for _ in range(3)]
    frames[0].save(photos / "moving.webp", save_all=True, append_images=frames[1:])
    (photos / "gone.png").symlink_to(photos / "nowhere.png")
    Image.new("CMYK", (40, 40), (10, 200, 30, 20)).save(photos / "print.tiff")
    Image.fromarray(rng.integers(0, 65535, (40, 40)).astype(np.uint16)).save(photos / "deep.png")
    before = {p.name: p.read_bytes() for p in photos.iterdir() if p.is_file()}
    words = ["protect", photos, photos / "gone.png", photos / "missing.png", photos / ".." / "in" / "1.png"]
    done = command(*words, "-o", tmp_path / "out", "--model", model, *QUICK)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    failures = [line for line in done.stderr.splitlines() if line.startswith("failed:")]
    bad = ["truncated", "zero", "eps", "bomb", "thin", "moving", "gone", "missing"]
    assert len(failures) == len(bad) and all(any(name in line for line in failures) for name in bad), failures
    assert "5 protected, 8 failed" in done.stderr
    assert before == {p.name: p.read_bytes() for p in photos.iterdir() if p.is_file()}


def test_methods_models_doctor(model):
    listed = command("methods")
    assert listed.returncode == 0 and {"random", "eudp"} <= {line.split()[0] for line in listed.stdout.splitlines()}
    assert "arXiv 2306.01902" in command("methods", "udp").stdout
    assert "did you mean 'udp'" in command("methods", "udpp").stderr
    assert command("models", "path", str(model)).stdout.strip() == str(model)
    assert command("models", "path", "no/such").returncode == 3
    assert "embedded" in command("models", "list").stdout
    names = {finding["name"] for finding in json.loads(command("doctor", "--json").stdout)}
    assert {"torch", "device", "torchvision", "embedded model"} <= names


def wait_for(path: Path, count: int, process: subprocess.Popen) -> None:
    while process.poll() is None and len(list(path.glob("*.png"))) < count:
        time.sleep(0.02)


def test_killed_at_random_and_resumed_is_bitwise_the_same(model, tmp_path):
    (tmp_path / "in").mkdir()
    for i, x in enumerate(tiny.pictures(8, seed=6)):
        pixels = (x.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(pixels[:, : 32 - i % 3]).save(tmp_path / "in" / f"{i:02}.png")
    settings = "--method", "udp", "--steps", "6", "--options", "rounds=2"
    words = "protect", tmp_path / "in", "--model", model, *settings, "-o"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    assert command(*words, tmp_path / "whole").returncode == 0

    rng, out, seen = random.Random(0), tmp_path / "out", {}
    for _ in range(2):
        process = subprocess.Popen(
            [*COMMAND, *words, out], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(out, len(seen) + rng.randint(1, 3), process)
        time.sleep(rng.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for path in out.glob("*.png"):
            Image.open(path).load()  # only whole files
            stamp = path.stat().st_mtime_ns
            lines = (out / "unlearnable.jsonl").read_text()
            if f'"output": "{path.name}"' in lines:
                assert seen.setdefault(path.name, stamp) == stamp, "a finished file was done again"
    assert 0 < len(seen) < 8, "the kills came too late or too early to test anything"
    last = command(*words, out)
    assert last.returncode == 0 and "skipped" in last.stderr
    for path in (tmp_path / "whole").glob("*.png"):
        assert path.read_bytes() == (out / path.name).read_bytes()
    assert all((out / name).stat().st_mtime_ns == stamp for name, stamp in seen.items())


def test_ctrl_c_says_how_to_go_on(photos, model, tmp_path):
    long = ["--method", "advdm", "--steps", "100000"]
    words = [*COMMAND, "protect", photos, "--model", model, *long, "-o", tmp_path / "out"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (tmp_path / "out" / "unlearnable.jsonl").exists():
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()  # or 100,000 steps go on where the interrupt did not come through
    assert process.returncode == 130 and "the same command goes on" in said and "Traceback" not in said
