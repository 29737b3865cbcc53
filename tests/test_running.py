"""Runs over folders: alone or in company the same bits, one run a folder, honest progress, stops that lose nothing."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import unlearnable
from tiny import PROMPT, fitted, pictures
from unlearnable import registry
from unlearnable.errors import DiskError, UsageError, WriteError
from unlearnable.jobs import protect as batch
from unlearnable.jobs.eta import Eta
from unlearnable.protection import strengths
from unlearnable.recipe import Recipe
from unlearnable.storage import atomic
from unlearnable.storage.journal import Journal
from unlearnable.storage.locks import alone


def save(path, seed, side=64):
    path.parent.mkdir(parents=True, exist_ok=True)
    x = (pictures(1, seed=seed, side=side)[0] * 255).permute(1, 2, 0).byte().numpy()
    Image.fromarray(x).save(path)
    return path


# They train, search for times, or draw whole edits for long before or in the first step.
COSTLY = {"ldu-paper", "fsmg", "simac", "photoguard-diffusion", "dia"}


ALL = [pytest.param(m, marks=pytest.mark.slow if m in COSTLY else ()) for m in sorted(registry.METHODS)]


@pytest.mark.parametrize("method", ALL)
def test_a_picture_alone_and_in_company_gives_the_same_file(method, tmp_path):
    """Whatever a method's surrogate learns, it learns from that picture by itself."""
    names = ("a.png", "b.png")
    for i, name in enumerate(names):
        save(tmp_path / "in" / name, 40 + i, 32)
    model = None if method == "ldu-fast" else fitted("sd1")  # its network fits the embedded model alone
    rounds = "rounds=2" if strengths.protection(method).rounds > 1 else ""
    recipe = Recipe(method=method, prompt=PROMPT, steps=2, options=rounds)
    list(batch.protect(tmp_path / "in", tmp_path / "all", recipe, model=model))
    list(batch.protect(tmp_path / "in" / "b.png", tmp_path / "one", recipe, model=model))
    assert (tmp_path / "all" / "b.png").read_bytes() == (tmp_path / "one" / "b.png").read_bytes()
    assert (tmp_path / "all" / "b.png").read_bytes() != (tmp_path / "in" / "b.png").read_bytes()


def test_a_batch_changes_no_result_and_a_folder_can_be_one_subject(tmp_path):
    for i, name in enumerate(("a.png", "b.png")):
        save(tmp_path / "in" / name, 50 + i)
    one = Recipe(method="aspl", prompt=PROMPT, steps=4, options="rounds=2")
    written = {}
    for name, recipe in {"alone": one, "batch": replace(one, batch=2), "folder": replace(one, group="folder")}.items():
        list(batch.protect(tmp_path / "in", tmp_path / name, recipe, model=fitted("sd1")))
        written[name] = np.asarray(Image.open(tmp_path / name / "a.png")).astype(int)
    assert np.array_equal(written["alone"], written["batch"])
    assert not np.array_equal(written["alone"], written["folder"])


def test_each_file_is_there_as_soon_as_its_picture_is_done(tmp_path):
    for i in range(3):
        save(tmp_path / "in" / f"{i}.png", 60 + i)
    there = []
    for result in batch.protect(
        tmp_path / "in", tmp_path / "out", Recipe(method="ldu", steps=2, options="rounds=2"), model=fitted("sd1")
    ):
        there.append((result.output.is_file(), len(list((tmp_path / "out").glob("*.png")))))
    assert there == [(True, 1), (True, 2), (True, 3)]


def test_progress_counts_work_by_area_and_what_is_done_as_none(tmp_path):
    for name, side in (("a.png", 64), ("b.png", 128), ("c.png", 64)):
        save(tmp_path / "in" / name, side, side)
    told = []
    recipe = Recipe(method="advdm", steps=4, prompt=PROMPT, resolution=128)
    list(batch.protect(tmp_path / "in" / "a.png", tmp_path / "out", recipe, model=fitted("sd1")))
    run = batch.protect(
        tmp_path / "in", tmp_path / "out", recipe, model=fitted("sd1"), progress=lambda done, total: told.append(done)
    )
    list(run)
    assert told == sorted(told) and told[0] == 0 and told[-1] == 3
    steps = [done for done in told if 0 < done < 3]
    first = steps[0]  # a quarter of b, which is most of the work, as a costs nothing
    assert first / 3 == pytest.approx(0.25 * 128**2 / (128**2 + 64**2), abs=0.05)


@pytest.mark.parametrize("costs", [[1.0] * 40, [0.2] * 20 + [4.0] * 5 + [0.2] * 20, [3.0, 1.0, 0.5] * 15])
def test_the_rest_is_foretold_within_a_quarter_after_a_tenth(costs):
    """Steps of work that take as long as they weigh, on a clock of our own, behind a slow start that is no work."""
    now = [100.0]
    eta = Eta(clock=lambda: now[0])
    assert eta.remaining(0, 1) is None
    whole, done = sum(costs), 0.0
    for cost in costs:
        now[0] += 2 * cost
        done += cost
        if 0.1 <= done / whole < 1:
            assert eta.remaining(done / whole, 1) == pytest.approx(2 * (whole - done), rel=0.25)


HOLD = """
import sys, time
from pathlib import Path
from unlearnable.storage.locks import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_run_a_folder_and_a_killed_one_holds_nothing(tmp_path):
    held = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert held.stdout.readline() == "held\n"
    save(tmp_path / "in.png", 1)
    recipe = Recipe(method="random")
    with pytest.raises(UsageError, match=rf"another run \(process {held.pid}: .*\) is writing to .*: wait for it"):
        list(batch.protect(tmp_path / "in.png", tmp_path, replace(recipe, format="webp"), model=fitted("sd1")))
    held.send_signal(signal.SIGKILL)
    held.wait()
    with alone(tmp_path), pytest.raises(UsageError, match="another run"), alone(tmp_path):
        pass


def test_runs_of_one_study_may_share_a_folder(tmp_path):
    with alone(tmp_path, "study"), alone(tmp_path, "study"):
        with pytest.raises(UsageError, match="another run"), alone(tmp_path, "other"):
            pass
        with pytest.raises(UsageError, match="another run"), alone(tmp_path):
            pass


def test_a_file_is_what_was_written_last(tmp_path):
    """BMP files of one size all have one length, so that only the journal tells settings apart."""
    source = save(tmp_path / "a.png", 3)
    Image.open(source).save(tmp_path / "a.bmp")
    one, other = (Recipe(method="random", seed=seed) for seed in (0, 1))
    out = tmp_path / "out"

    def status(recipe):
        return [r.status for r in batch.protect(tmp_path / "a.bmp", out, recipe, model=fitted("sd1"))]

    assert status(one) == ["protected"] and status(one) == ["skipped"]
    first = (out / "a.bmp").read_bytes()
    assert status(other) == ["protected"] and status(one) == ["protected"]
    assert (out / "a.bmp").read_bytes() == first


@pytest.mark.parametrize(
    "line",
    [
        {"input_sha256": "x"}, {"name": "a", "input_sha256": 3, "recipe_hash": "h"}, [], "text", None, 7, {},
        {"name": "a.png", "input_sha256": "x", "recipe_hash": "h", "output": "a.png", "bytes": "9", "measured": {}},
    ],
)  # fmt: skip
def test_lines_that_are_none_are_passed_over(line, tmp_path):
    (tmp_path / "unlearnable.jsonl").write_text(json.dumps(line) + "\n{\n\x00\n")
    assert Journal.open(tmp_path).done == {}
    save(tmp_path / "in" / "a.png", 1)
    results = batch.protect(tmp_path / "in", tmp_path, Recipe(method="random"), model=fitted("sd1"))
    assert [r.status for r in results] == ["protected"]


def test_links_planted_under_temporary_names_are_not_followed(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    names = []
    real = os.open

    def noted(path, *rest, **more):
        names.append(Path(path))
        return real(path, *rest, **more)

    with monkeypatch.context() as watched:
        watched.setattr(atomic.os, "open", noted)
        atomic.write_text(tmp_path / "a.json", "1")
    (temporary,) = {name for name in names if name.suffix == ".part"}
    os.symlink(victim, temporary)
    atomic.write_text(tmp_path / "a.json", "2")
    assert (tmp_path / "a.json").read_text() == "2" and victim.read_text() == "mine"
    os.symlink(victim, tmp_path / "b.json")
    atomic.write_text(tmp_path / "b.json", "3")
    assert victim.read_text() == "mine" and not (tmp_path / "b.json").is_symlink()


CODES = [(errno.ENOSPC, DiskError), (errno.EROFS, DiskError), (errno.EISDIR, WriteError)]


@pytest.mark.parametrize("code, kind", CODES)
def test_what_nothing_else_could_be_written_either_is_told_apart(code, kind, tmp_path, monkeypatch):
    def fails(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(atomic.os, "replace", fails)
    with pytest.raises(kind) as error:
        atomic.write_text(tmp_path / "a", "x")
    assert type(error.value) is kind and not list(tmp_path.iterdir())


LIMITED = """
import resource, sys
from pathlib import Path
from unlearnable.storage import atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    atomic.write_bytes(Path(sys.argv[1]) / "large", bytes(5000))
except atomic.DiskError as error:
    print(error)
"""


def test_a_disk_that_takes_no_more_leaves_no_half_file(tmp_path):
    said = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "was not written as the disk is full; free some space" in said.stdout
    assert list(tmp_path.iterdir()) == []


def test_nobody_writes_in_place():
    """All writers go through `atomic`; what remains writes into memory, or into a folder that is gone afterwards."""
    allowed = {"storage/atomic.py", "jobs/ray.py", "jobs/ledger.py"}
    root = Path(unlearnable.__file__).parent
    found = [
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if any(word in path.read_text() for word in (".write_text(", ".write_bytes(", 'open("w', "'w'"))
    ]
    assert set(found) <= allowed, found


def test_an_interrupt_says_what_there_is(tmp_path):
    for i in range(6):
        save(tmp_path / "in" / f"{i}.png", 70 + i, 64)
    command = [sys.executable, "-m", "unlearnable.cli", "protect", str(tmp_path / "in"), "-o", str(tmp_path / "out")]
    run = subprocess.Popen([*command, "--method", "advdm", "--steps", "8"], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "out").glob("*.png")) and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    run.send_signal(signal.SIGTERM)
    _, said = run.communicate()
    count = len(list((tmp_path / "out").glob("*.png")))
    if run.returncode != 0:  # it may have been quicker
        assert run.returncode == 130
        assert f"{count} finished {'picture is' if count == 1 else 'pictures are'} in {tmp_path / 'out'}" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_file_and_the_line_about_it_come_together(number):
    """A signal inside the block arrives at its end, and the handlers are as before."""

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(number, interrupt)
    try:
        done = []
        with pytest.raises(KeyboardInterrupt), atomic.uninterrupted():
            signal.raise_signal(number)
            done.append("file")
            done.append("line")
        assert done == ["file", "line"]
        assert signal.getsignal(number) is interrupt
        with pytest.raises(ValueError), atomic.uninterrupted():
            raise ValueError
    finally:
        signal.signal(number, before)


def test_elsewhere_than_in_the_main_thread_nothing_is_held_back():
    before, inside = signal.getsignal(signal.SIGINT), []

    def work():
        with atomic.uninterrupted():
            inside.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [before]
