"""`unlearnable protect FOLDER --surrogate`: whole folders, killed and taken up, later pictures, nonsense."""

import itertools
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
import torch
from PIL import Image

import tiny
from unlearnable import Recipe, protect
from unlearnable.cli import app
from unlearnable.errors import UnlearnableError, UsageError
from unlearnable.models.fresh import pixel
from unlearnable.protection.adjust import values
from unlearnable.storage.locks import NAME

OPTIONS = "rounds=2,train=2,warmup=1,learn=4,lr=0.001"
RECIPE = Recipe(
    method="eudp", strength="paper", eps=12, steps=4, options=OPTIONS, surrogate="scratch", model="pixel:16", batch=3,
    dtype="float32",
)  # fmt: skip


def written(folder, count, seed=1, sizes=(16,)):
    folder.mkdir(exist_ok=True)
    for i, x in enumerate(tiny.pictures(count, seed=seed, side=48)):
        side = sizes[i % len(sizes)]
        pixels = (x.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)[:side, : 48 if len(sizes) > 1 else side]
        Image.fromarray(pixels).save(folder / f"{seed}-{i}.png")
    return folder


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def test_a_folder_its_journal_and_a_later_picture(tmp_path):
    source, out = written(tmp_path / "in", 5), tmp_path / "out"
    results = list(protect([source], out, RECIPE))
    assert [r.status for r in results] == ["protected"] * 5
    for r in results:
        before, after = (np.asarray(Image.open(p)).astype(int) for p in (r.source, r.output))
        assert 0 < abs(after - before).max() <= 12 and r.measured["linf"] <= 12
    deltas = [np.asarray(Image.open(r.output)).astype(int) - np.asarray(Image.open(r.source)) for r in results]
    assert all((a != b).any() for a, b in itertools.pairwise(deltas)), "every picture has noise of its own"
    first = bytes_of(out)
    state = next((tmp_path / "out.state").iterdir())
    shapes = [(m["views"], m["height"], m["width"]) for m in json.loads((state / "set.json").read_text())]
    assert shapes == [(1, 16, 16)] * 5, "pictures of the model's size are seen as they are"
    assert {p.name for p in state.iterdir()} == {"set.json", "surrogate.safetensors", "law.safetensors", "deltas.0"}
    assert {p.name for p in out.iterdir()} == {*first, "unlearnable.jsonl", NAME}, (
        "the noise is not where it is published"
    )

    assert [r.status for r in protect([source], out, RECIPE)] == ["skipped"] * 5
    written(source, 2, seed=7)
    results = {r.source.name: r.status for r in protect([source], out, RECIPE)}
    assert [results[name] for name in sorted(results)] == ["skipped"] * 5 + ["protected"] * 2
    later = bytes_of(out)
    assert {name: later[name] for name in first} == first
    (out / "1-3.png").unlink()  # one that is lost is made again, the same
    list(protect([source], out, RECIPE))
    assert bytes_of(out) == later
    other = written(tmp_path / "alone", 1, seed=7)
    alone = list(protect([source / "1-0.png", source / "1-1.png", source / "1-2.png", source / "1-3.png",
                          source / "1-4.png", other], tmp_path / "out2", RECIPE))  # fmt: skip
    assert len(alone) == 6 and alone[0].output.read_bytes() != first["1-0.png"], "another set, another game"


def test_mixed_sizes_in_tiles_and_masks(tmp_path):
    source, out = written(tmp_path / "in", 4, sizes=(16, 48, 31)), tmp_path / "out"
    (tmp_path / "masks").mkdir()
    for path in source.iterdir():
        size = Image.open(path).size
        mask = Image.new("L", size)
        mask.paste(255, (0, 0, size[0] // 2, size[1]))
        mask.save(tmp_path / "masks" / path.name)
    results = list(protect([source], out, RECIPE, mask=tmp_path / "masks"))
    assert [r.status for r in results] == ["protected"] * 4
    for r in results:
        before, after = (np.asarray(Image.open(p)).astype(int) for p in (r.source, r.output))
        assert before.shape == after.shape and 0 < abs(after - before).max() <= 12
        assert not (after - before)[:, before.shape[1] // 2 :].any()


def test_the_checkpoint_as_surrogate_on_a_latent_model(tmp_path):
    from dataclasses import replace

    recipe = replace(RECIPE, surrogate="checkpoint", model="tiny", options=f"{OPTIONS},law=measured,antithetic=true")
    model = tiny.adapt(tiny.build("sd1"), "tiny-sd1")
    before = {k: v.clone() for k, v in model.denoiser.state_dict().items()}
    results = list(protect([written(tmp_path / "in", 3, sizes=(32,))], tmp_path / "out", recipe, model=model))
    assert [r.status for r in results] == ["protected"] * 3
    assert all(torch.equal(before[k], v) for k, v in model.denoiser.state_dict().items())


def command(source, out):
    settings = {"method": "eudp", "strength": "paper", "eps": 12, "steps": 4, "surrogate": "scratch", "batch": 3}
    flags = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    flags += ["--model", "pixel:16", "--options", OPTIONS, "--dtype", "float32"]
    return ["protect", str(source), "-o", str(out), *flags]


@pytest.mark.slow
def test_killed_by_the_system_and_taken_up_again(tmp_path):
    """The real thing: SIGKILL at random times until the command ends by itself."""
    source, dice = written(tmp_path / "in", 24), random.Random(3)
    list(protect([source], tmp_path / "whole", RECIPE))
    call = [sys.executable, "-m", "unlearnable.cli", *command(source, tmp_path / "parts")]
    kills = 0
    while True:
        process = subprocess.Popen(call, env=os.environ | {"OMP_NUM_THREADS": "1"})
        begun = time.monotonic()
        while not (tmp_path / "parts").is_dir() and process.poll() is None:
            time.sleep(0.05)
        limit = begun + dice.uniform(1, 6) + 4 * kills
        while time.monotonic() < limit and process.poll() is None:
            time.sleep(0.02)
        if process.poll() is not None:
            assert process.returncode == 0
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills
    assert bytes_of(tmp_path / "parts") == bytes_of(tmp_path / "whole")


@pytest.mark.slow
def test_two_processes_write_what_one_writes(tmp_path):
    """As on two GPUs, here on the CPU."""
    source = written(tmp_path / "in", 7)
    list(protect([source], tmp_path / "one", RECIPE))
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "-m"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*launch, "unlearnable.cli", *command(source, tmp_path / "two")], env=environment, check=True)
    assert bytes_of(tmp_path / "two") == bytes_of(tmp_path / "one")


def test_stopped_in_the_middle_goes_on_to_the_same_files(tmp_path, monkeypatch):
    source = written(tmp_path / "in", 5)
    list(protect([source], tmp_path / "whole", RECIPE))
    for stop in (0.3, 0.6, 1.0):

        def interrupting(done, total, stop=stop):
            if done >= stop * total:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            list(protect([source], tmp_path / "parts", RECIPE, progress=interrupting))
    written(source, 1, seed=7)  # the set is what it was when the game began
    assert len(list(protect([source], tmp_path / "parts", RECIPE))) == 6
    parts = bytes_of(tmp_path / "parts")
    assert parts.pop("7-0.png") and parts == bytes_of(tmp_path / "whole")


def test_nonsense_is_one_sentence(tmp_path):
    from dataclasses import replace

    from typer.testing import CliRunner

    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="found no pictures in"):
        list(protect([tmp_path / "empty"], tmp_path / "out", RECIPE))
    single = written(tmp_path / "single", 1)
    with pytest.raises(
        UsageError, match=r"1-0.png alone is no data set that a surrogate could train on: give a folder"
    ):
        list(protect([single], tmp_path / "out", RECIPE))
    with pytest.raises(UsageError, match="advdm plays no game over a data set: use --method udp or eudp"):
        list(protect([single], tmp_path / "out", replace(RECIPE, method="advdm", options="")))
    with pytest.raises(UsageError, match="unknown surrogate 'scrach': did you mean 'scratch'"):
        replace(RECIPE, surrogate="scrach")
    with pytest.raises(UsageError, match=r"pixel:16 has random weights.*--surrogate scratch"):
        list(protect([single], tmp_path / "out", replace(RECIPE, surrogate="checkpoint")))
    for name in ("pixel:many", "pixel:9"):
        with pytest.raises(UsageError, match=name if name == "pixel:many" else "give a multiple of 2"):
            list(protect([single], tmp_path / "out", replace(RECIPE, model=name)))
    done = CliRunner().invoke(app, command(single, tmp_path / "out"))
    assert isinstance(done.exception, UsageError)


def test_a_data_set_has_settings_of_its_own_and_options_win_over_them():
    from dataclasses import replace

    group, whole = replace(RECIPE, surrogate=None).protection(), RECIPE.protection()
    assert [values(s)["eot_samples"] for s in (group, whole)] == [1, 4]
    assert [values(s)["start"] for s in (group, whole)] == ["uniform", "sign"]
    assert replace(RECIPE, options="eot_samples=2,start=zero").protection().estimator.eot_samples == 2
    assert whole.constraint.radius == group.constraint.radius == 12


def test_a_surrogate_that_diverges_keeps_the_state(tmp_path):
    from dataclasses import replace

    source = written(tmp_path / "in", 3)
    wild = replace(RECIPE, options="rounds=3,train=8,warmup=0,learn=4,lr=1e30")
    with pytest.raises(UnlearnableError, match=r"diverged at step|not finite"):
        list(protect([source], tmp_path / "out", wild, model=pixel(16)))
    state = next((tmp_path / "out.state").iterdir())
    assert json.loads((state / "set.json").read_text()) and (state / "views").stat().st_size
    assert not list(Path(tmp_path / "out").glob("*.png"))
    assert [r.status for r in protect([source], tmp_path / "out", RECIPE)] == ["protected"] * 3
