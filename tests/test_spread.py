"""Large runs: the bits of a run in one process, from and to any place, whatever happens to the workers."""

import os
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import fsspec
import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from tiny import PROMPT, build, pictures
from unlearnable.cli import protect as cli_protect
from unlearnable.errors import PictureError, SetupError, UsageError
from unlearnable.images import files
from unlearnable.jobs import protect as batch
from unlearnable.jobs import ray as spread
from unlearnable.jobs import sinks, sources
from unlearnable.jobs.result import Result
from unlearnable.jobs.run import Run
from unlearnable.models.adapters import adapt
from unlearnable.recipe import Recipe

RECIPE = Recipe(method="advdm", strength="paper", eps=8, steps=1, prompt=PROMPT, batch=3, resolution=64)
SIDES = (32, 48)


@cache
def model():
    """Its weights are random: bits are compared, not what they do."""
    torch.manual_seed(0)
    return adapt(build("sd1"), "tiny-sd1")


def fill(folder: Path, count: int) -> Path:
    """Pictures of two shapes by turns, some in a subfolder, and two that are none."""
    for i, x in enumerate(pictures(count, seed=3, side=48)):
        path = folder / ("deep" if i % 4 == 3 else ".") / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = (x.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(pixels[: SIDES[i % 2]]).save(path)
    (folder / "05b.png").write_bytes(b"no picture")
    (folder / "deep" / "empty.png").write_bytes(b"")
    return folder


def bits(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.png"))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("spread") / "in", 10)


@pytest.fixture(scope="module")
def plain(folder):
    """What a run in one process makes of it."""
    found = list(batch.protect([folder], folder.parent / "plain", RECIPE, model=model(), recursive=True))
    return found, bits(folder.parent / "plain")


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield ray
    ray.shutdown()


def store(folder: Path, url: str) -> None:
    memory = fsspec.filesystem("memory")
    for path in sorted(folder.rglob("*.png")):
        memory.pipe_file(f"{url}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def test_pictures_of_a_store_are_listed_as_those_of_a_folder(folder):
    (folder / ".hidden").mkdir(exist_ok=True)
    store(folder, "memory://listed")
    memory = fsspec.filesystem("memory")
    for name in (".a.png", ".dir/b.png", "c.txt"):
        memory.pipe_file(f"memory://listed/{name}", b"x")
    for deep in (False, True):
        here = [name for _, name in files.find([folder], deep, None)]
        assert [name for _, name in sources.listing("memory://listed", deep)] == here
        assert [name for _, name in sources.sources(["memory://listed/"], deep, Path("out"), None)] == here
    assert sources.listing("memory://listed/deep/03.png", False) == [("memory://listed/deep/03.png", Path("03.png"))]
    assert sources.plain("file:///a/b") == Path("/a/b") and sources.plain("memory://a") == "memory://a"


def test_places_that_make_no_sense_are_refused(folder):
    for inputs, out, said in (
        (["memory://none"], "memory://b", "found no pictures"),
        (["nonsense://a"], "memory://b", "no address that fsspec knows"),
        (["memory://listed2"], "memory://listed2/", "is the input and the output folder"),
    ):
        store(folder, "memory://listed2")
        with pytest.raises(UsageError, match=said):
            sources.sources(inputs, True, out, None)
    with pytest.raises(UsageError, match=r"written to the same file: .* \(as 00\.png\)"):
        sources.sources([str(folder), "memory://listed2"], True, "memory://b", None)
    with pytest.raises(SetupError, match="needs another package"):
        sinks.reach("s3://bucket/x")
    with pytest.raises(PictureError, match="could not be fetched"):
        sinks.fetched("memory://listed2/gone.png")
    with pytest.raises(UsageError, match="leave one out"):
        list(batch.protect([folder], "memory://b", replace(RECIPE, surrogate="scratch"), ray="auto"))


def test_urls_are_for_ray_alone(folder):
    plain = {"mask": None, "recursive": True, "overwrite": False, "as_json": True, "dry_run": False, "compare": False}
    for inputs, out, options, said in (
        (["memory://a"], "out", {}, "memory://a is a URL, which needs a run with --ray: add --ray auto"),
        ([str(folder)], "memory://b", {}, "memory://b is a URL"),
        (["memory://a"], "out", {"ray": "auto", "compare": True}, "leave --compare and --dry-run out"),
    ):
        with pytest.raises(UsageError, match=said):
            cli_protect.run(inputs, out, RECIPE, **plain | options)


def test_ray_that_is_not_there_is_one_sentence(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SetupError, match=r"pip install 'unlearnable\[bench\]'"):
        list(batch.protect([folder], tmp_path / "out", RECIPE, model=model(), ray="auto"))


def test_a_group_that_travels_has_the_bits_of_one_that_does_not(folder, plain, tmp_path):
    run = Run.open([folder], tmp_path / "out", RECIPE, None, True, False, None)
    seen = {}
    for found in run.planner(model()).groups():
        if not isinstance(found, Result):
            for made in spread.protected(RECIPE, model(), [spread.packed(job) for job in found]):
                assert made.result.status == "protected" and made.entry["bytes"] == len(made.data)
                seen[made.entry["output"]] = made.data
    assert seen == plain[1] and len(seen) == 10
    assert not list((tmp_path / "out").glob("*.png"))


def test_ray_gives_the_same_bits_anywhere(folder, plain, cluster, tmp_path):
    options = {"model": model(), "recursive": True, "ray": "auto"}
    found = list(batch.protect([folder], tmp_path / "out", RECIPE, **options))
    assert bits(tmp_path / "out") == plain[1]
    assert sorted(r.status for r in found) == ["failed"] * 2 + ["protected"] * 10
    named = {str(r.source): (r.message, r.measured, r.notes) for r in plain[0]}
    assert {str(r.source): (r.message, r.measured, r.notes) for r in found} == named
    again = list(batch.protect([folder], tmp_path / "out", RECIPE, **options))
    assert sorted(r.status for r in again) == ["failed"] * 2 + ["skipped"] * 10


@pytest.mark.slow
def test_a_store_is_as_good_as_a_folder(folder, plain, cluster):
    options = {"model": model(), "recursive": True, "ray": "auto"}
    store(folder, "memory://in")
    found = list(batch.protect(["memory://in"], "memory://out/there", RECIPE, **options))
    memory = fsspec.filesystem("memory")
    made = [name for name in memory.find("/out/there") if name.endswith(".png")]
    assert {name.removeprefix("/out/there/"): memory.cat_file(name) for name in made} == plain[1]
    said = {r.source: r.message for r in found if r.status == "failed"}
    assert set(said) == {"memory://in/05b.png", "memory://in/deep/empty.png"}
    assert all(source in message for source, message in said.items())
    memory.rm_file("/out/there/00.png")
    again = list(batch.protect(["memory://in"], "memory://out/there", RECIPE, **options))
    (redone,) = [r for r in again if r.status == "protected"]
    assert redone.output == "memory://out/there/00.png" and memory.cat_file("/out/there/00.png") == plain[1]["00.png"]
    assert [r.status for r in again].count("skipped") == 9


@pytest.mark.slow
def test_workers_that_die_are_replaced(cluster, tmp_path):
    folder = fill(tmp_path / "in", 60)
    recipe, seen, killed = replace(RECIPE, steps=10), [], 0
    plain = list(batch.protect([folder], tmp_path / "plain", recipe, model=model(), recursive=True))
    for result in batch.protect([folder], tmp_path / "out", recipe, model=model(), recursive=True, ray="auto"):
        seen.append(result)
        if len(seen) in (8, 20, 35):
            time.sleep(0.2)
            for process in psutil.Process().children(recursive=True):
                if "ray::Worker" in " ".join(process.cmdline()):
                    process.kill()
                    killed += 1
    assert killed
    assert sorted(str(r.source) for r in seen) == sorted(str(r.source) for r in plain)
    assert bits(tmp_path / "out") == bits(tmp_path / "plain")
    lines = (tmp_path / "out" / "unlearnable.jsonl").read_text().splitlines()
    assert len(lines) == 1 + 60, "each output once"
