"""A whole benchmark: what its rows say, failures, resuming, two runs at once."""

import json
import multiprocessing
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import small
import torch
from PIL import Image

from unlearnable import load_model, registry
from unlearnable.bench.claims import Claims
from unlearnable.bench.run import bench, pending
from unlearnable.bench.study import Attack
from unlearnable.cli import bench as cli_bench
from unlearnable.metrics.subject import held_out_loss
from unlearnable.rng import image_keys

TROUBLED = {
    "methods": ("advdm", "ldu-fast"),  # the second knows no pixel models
    "attackers": (
        Attack("scratch", "scratch", "embedded", small.SHORT),
        Attack("wild", "scratch", "embedded", small.SHORT | {"lr": 1e30, "clip": 0.0}),
    ),
    "subjects": ("objects/ball",),
    "purify": ("none",),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small.data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def whole(folder, tmp_path_factory):
    """An uninterrupted run, in this process."""
    return bench(small.study(folder), tmp_path_factory.mktemp("whole"))


def pixels(paths) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths]).astype(np.float64)


def test_every_row_is_there_and_says_what_was_found(whole):
    assert not whole.missing and len(whole.rows) == 2 * (1 + 2 + 2 + 2)
    for row in whole.rows:
        assert len(row["held_out"]) == len(row["own"]) == 2 and row["kind"] == "object" and len(row["similarity"]) == 1
        assert (row["trained"] is None) == (row["method"] == "untouched")
        assert (row["fidelity"] is None) == (row["method"] in ("untouched", "clean"))
        assert all((whole.path.parent / path).is_file() for path in row["protected"] + row["samples"])


def test_protected_pictures_keep_the_budget_and_fidelity_is_what_their_files_say(whole):
    clean = {r["subject"]: r["protected"] for r in whole.rows if r["method"] == "clean"}
    for row in [r for r in whole.rows if r["fidelity"]]:
        x, y = (pixels([whole.path.parent / p for p in paths]) for paths in (clean[row["subject"]], row["protected"]))
        psnr = [10 * np.log10(255**2 / np.square(b - a).mean()) for a, b in zip(x, y)]
        assert min(psnr) >= 30 and np.isclose(row["fidelity"]["psnr"], np.mean(psnr), atol=1e-3)
        assert np.isclose(row["fidelity"]["linf"], np.mean(np.abs(y - x).max((1, 2, 3))))


def test_a_row_is_what_an_attacker_by_hand_finds(whole, folder):
    row = next(r for r in whole.rows if (r["method"], r["purify"]) == ("advdm", "none"))
    model = load_model("pixel:16", device="cpu", dtype="float32")

    views = [small.pixels(folder / row["subject"] / f"{i}.png", 16) for i in range(4)]
    clean, other = torch.cat(views[:2]), torch.cat(views[2:])
    seen = torch.from_numpy(pixels([whole.path.parent / p for p in row["protected"]])).permute(0, 3, 1, 2).float() / 255
    attacker = registry.load("scratch", "attacker").Scratch(steps=3, batch=2, lr=5e-4, ema=0.995)
    learned = attacker.fit(model, seen, "a photo of sks ball", seed=0, keys=image_keys(clean)).model
    assert np.allclose(held_out_loss(learned, other, "", 2), row["held_out"], rtol=1e-5)
    assert np.allclose(held_out_loss(learned, clean, "", 2), row["own"], rtol=1e-5)


def test_what_is_done_is_not_done_again(whole, folder, monkeypatch):
    monkeypatch.setattr("unlearnable.bench.executors.serial.do", None)
    again = bench(small.study(folder), whole.path.parent)
    assert again.rows == whole.rows
    assert pending(small.study(folder), whole.path.parent)[0] == []


def test_what_fails_is_noted_passed_over_and_retried_on_request(folder, tmp_path, monkeypatch):
    study = small.study(folder, **TROUBLED)
    found = bench(study, tmp_path)
    assert {(r["method"], r["attack"]) for r in found.rows} == {
        ("untouched", "scratch"), ("untouched", "wild"), ("clean", "scratch"), ("random", "scratch"),
        ("advdm", "scratch"),
    }  # fmt: skip
    why = {(line["method"], line["attack"]): (line["status"], line["message"]) for line in found.missing}
    assert all("diverged" in why[method, "wild"][1] for method in ("clean", "random", "advdm"))
    assert all("could not be made: " in why["ldu-fast", attack][1] for attack in ("scratch", "wild"))
    assert {status for status, _ in why.values()} == {"failed"}
    cells = {p: p.stat().st_mtime_ns for p in (tmp_path / "cells").glob("*.json")}
    assert bench(study, tmp_path).missing == found.missing
    assert {p: p.stat().st_mtime_ns for p in cells} == cells, "nothing is tried again unasked"
    tried = []
    monkeypatch.setattr("unlearnable.bench.executors.serial.do", lambda job: tried.append(job) or small_outcome())
    bench(study, tmp_path, retry=True)
    assert len(tried) == 3 + 1  # wild on three sets of pictures, and the protection that two rows wait for


def small_outcome():
    from unlearnable.bench.work import Outcome

    return Outcome("failed", "again")


def test_a_cell_that_takes_too_long_is_stopped(folder, tmp_path):
    slow = Attack("slow", "scratch", "embedded", {"steps": 10**6, "batch": 2})
    only = {"subjects": ("objects/ball",), "purify": ("none",), "attackers": (slow,)}
    found = bench(small.study(folder, timeout=0.7, **only), tmp_path, only=("method=random",))
    late = [line for line in found.missing if line["method"] in ("clean", "random")]
    assert [line["status"] for line in late] == ["timeout"] * 2 and "longer than 0.7 s" in late[0]["message"]
    assert {line["status"] for line in found.missing if line["method"] == "advdm"} == {"waiting"}


def command(data: Path, out: Path, steps: int = 3) -> list[str]:
    recipe = data.parent / f"{data.name}-{steps}.toml"
    recipe.write_text(small.TOML.format(data=str(data), steps=steps))
    return [sys.executable, "-m", "unlearnable.cli", "bench", "run", str(recipe), "-o", str(out), "--threads", "1"]


def test_killed_twice_and_resumed_it_finds_the_same(whole, folder, tmp_path):
    luck, study = random.Random(), small.study(folder)
    for _ in range(2):
        cells = len(list(tmp_path.glob("cells/*.json")))
        run = multiprocessing.get_context("fork").Process(target=bench, args=(study, tmp_path))
        run.start()
        while run.is_alive() and len(list(tmp_path.glob("cells/*.json"))) < cells + luck.randint(1, 8):
            time.sleep(0.01)
        time.sleep(luck.uniform(0, 0.2))
        run.kill()
        run.join()
    found = bench(study, tmp_path)
    assert small.told(found.rows) == small.told(whole.rows) and not found.missing
    for path in (tmp_path / "cells").glob("*.json"):
        json.loads(path.read_text())


def test_the_command_says_what_came_of_it(whole, folder, tmp_path, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(small.TOML.format(data=str(folder), steps=3))
    cli_bench.run(recipe, whole.path.parent)
    assert capsys.readouterr().out == f"{len(whole.rows)} rows, 0 failed, 0 waiting: {whole.path}\n"
    cli_bench.run(recipe, tmp_path / "new", only=["method=random", "subject=objects/ball"], dry_run=True)
    listed = capsys.readouterr().out.splitlines()
    assert (
        listed[0].startswith("attack: objects/ball, untouched") and "protect: objects/ball, random, psnr:30" in listed
    )
    assert len(listed) == 1 + 3 + 4 and not (tmp_path / "new").exists()


@pytest.mark.slow
def test_two_runs_on_one_folder_share_the_work(whole, folder, tmp_path):
    runs = [subprocess.Popen(command(folder, tmp_path), stderr=subprocess.PIPE, text=True) for _ in range(2)]
    done = [[line for line in run.communicate()[1].splitlines() if " done, " in line] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert small.told(json.loads((tmp_path / "rows.json").read_text())["rows"]) == small.told(whole.rows)
    cells = [json.loads(path.read_text())["facts"]["kind"] for path in (tmp_path / "cells").glob("*.json")]
    assert sum(map(len, done)) == len([kind for kind in cells if kind != "photographs"]), "no cell was computed twice"


def claimed(folder, pipe):
    claims = Claims.open(folder)
    pipe.send(claims.take("a"))
    time.sleep(60)


def test_a_claim_holds_until_its_process_ends_however_it_does(tmp_path):
    ours, theirs = multiprocessing.Pipe()
    other = multiprocessing.get_context("fork").Process(target=claimed, args=(tmp_path, theirs))
    other.start()
    assert ours.recv()
    claims = Claims.open(tmp_path)
    assert not claims.take("a") and claims.take("b")
    other.kill()
    other.join()
    assert claims.take("a")
    claims.close()
