"""`unlearnable train-ldu`: what is written and said, going on where it stopped, processes; and that it learns."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

import tiny
from unlearnable.cli import app
from unlearnable.errors import UsageError
from unlearnable.ldu import train
from unlearnable.ldu.config import RhoConfig
from unlearnable.parallel.workers import Workers, workers
from unlearnable.protection import strengths
from unlearnable.protection.adjust import adjusted
from unlearnable.protection.constraints import psnr

QUICK = RhoConfig(steps=4, batch=2, width=8, groups=1, taught=2)
METHOD = adjusted(strengths.protection("ldu"), inversion=3, k=2, t_start=0.25)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five pictures, three of them of one subject."""
    place = tmp_path_factory.mktemp("pictures")
    (place / "b").mkdir()
    save(tiny.pictures(5, seed=8), [place / ("b" if i > 1 else ".") / f"{i}.png" for i in range(5)])
    return place


def save(images, paths):
    for x, path in zip(images, paths):
        Image.fromarray((x.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)).save(path)


def model(family="sd1"):
    return tiny.adapt(tiny.build(family), f"tiny-{family}")


def learn(folder, out, settings=QUICK, base=None, **more):
    return train.train_rho([folder], out, METHOD, model=base or model(), recursive=True, settings=settings, **more)


def test_the_command_trains_and_protect_uses_what_it_wrote(folder, tmp_path):
    tiny.build("sd1").save_pretrained(tmp_path / "model")
    words = ["train-ldu", folder, "-r", "-o", tmp_path / "rho.safetensors", "--model", tmp_path / "model", "--psnr", 33]
    words += ["--steps", 2, "--batch", 2, "--width", 8, "--groups", 1, "--options", "k=2,inversion=2", "--json"]
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["pictures"] == 5 and report["attackers"] == 2 and set(report["loss"]) == {"clean", "random", "rho"}
    assert report["phi"] == "ddim" and "33.00 dB" in report["budget"] and report["route"]["k"] == 2
    more = ["--method", "ldu-fast", "--options", f"rho={tmp_path / 'rho.safetensors'}", "--model", tmp_path / "model"]
    done = CliRunner().invoke(app, [*map(str, ["protect", folder, "-o", tmp_path / "out", "--json", *more])])
    assert done.exit_code == 0, done.output
    measured = [json.loads(line)["measured"] for line in done.stdout.splitlines()]
    assert len(measured) == 2 and all(each["psnr"] >= 36.1 for each in measured)


def test_a_run_that_was_stopped_ends_with_the_same_bits(folder, tmp_path):
    def stop(done, total, loss):
        if done == 2 and not stopped:
            stopped.append(done)
            raise KeyboardInterrupt

    stopped: list[int] = []
    whole = learn(folder, tmp_path / "a.safetensors")
    with pytest.raises(KeyboardInterrupt):
        learn(folder, tmp_path / "b.safetensors", progress=stop)
    parts = learn(folder, tmp_path / "b.safetensors", progress=stop)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    assert parts["lambda"] == whole["lambda"], "the multiplier goes on, too"


def test_processes_share_a_batch_and_see_what_one_would():
    rows = torch.arange(6)
    together = torch.cat([rows[Workers(rank, 3).share(6)] for rank in range(3)])
    assert sorted(together.tolist()) == rows.tolist() and workers(6) == Workers()


@pytest.mark.slow
def test_two_launched_processes_learn_what_one_does(folder, tmp_path):
    tiny.build("sd1").save_pretrained(tmp_path / "model")
    words = ["-m", "unlearnable.cli", "train-ldu", folder, "-r", "--model", tmp_path / "model", "--steps", 2]
    words += ["--batch", 4, "--width", 8, "--groups", 0, "--options", "k=2,inversion=2,transforms=none"]
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", 2, "--num_machines", 1]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    learnt = []
    for name, start in (("one", []), ("two", launch)):
        out = tmp_path / f"{name}.safetensors"
        done = subprocess.run([sys.executable, *map(str, [*start, *words, "-o", out])], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        learnt.append(load_file(out))
    for name, value in learnt[0].items():
        assert torch.allclose(value.float(), learnt[1][name].float(), atol=2e-4), name


@pytest.mark.parametrize("family", ["sdxl", "sd3"])
def test_other_families_train_too(family, folder, tmp_path):
    report = learn(folder, tmp_path / "r.safetensors", replace(QUICK, steps=1, groups=0), model(family))
    assert np.isfinite(list(report["loss"].values())).all() and report["attackers"] == 1


@pytest.mark.parametrize("settings", [{"steps": 0}, {"width": 12}, {"lr": 0}, {"rate": -1}])
def test_settings_that_make_no_sense(settings):
    with pytest.raises(UsageError, match="give"):
        RhoConfig(**settings)


@pytest.mark.slow
def test_unseen_pictures_are_protected_in_one_pass(tmp_path):
    """On a fitted model: the loss of pictures rho never saw rises well above random noise of the same budget."""
    base = tiny.fitted("sd1")
    save(tiny.pictures(64, seed=1), [tmp_path / f"{i:02}.png" for i in range(64)])
    method = adjusted(METHOD, constraint=psnr(28), transforms=())
    settings = RhoConfig(steps=250, lr=3e-3, width=16, groups=0)
    learned = tmp_path / "rho.safetensors"
    train.train_rho([tmp_path], learned, method, model=base, prompt=tiny.PROMPT, settings=settings)
    fast = adjusted(strengths.protection("ldu-fast", "paper"), constraint=psnr(28), rho=str(learned))
    control = adjusted(strengths.protection("random", "paper"), constraint=psnr(28))
    x = tiny.pictures(8, seed=77)
    ours, noise, clean = (float(fast.evaluate(base, y).mean()) for y in (fast(base, x), control(base, x), x))
    print(f"rho {ours:.4f}, random {noise:.4f}, clean {clean:.4f}")
    assert ours - clean > 2 * (noise - clean)
