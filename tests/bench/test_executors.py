"""Rivals do the same: here, in a pool of processes, on a Ray cluster that loses a node."""

import json
import os
import sys
import threading
import time
from types import SimpleNamespace

import pytest
import small
import torch

from unlearnable.bench.executors.pool import Pool
from unlearnable.bench.executors.serial import SerialExecutor
from unlearnable.bench.run import bench
from unlearnable.bench.study import Attack
from unlearnable.bench.work import Job
from unlearnable.cli.bench import place, run
from unlearnable.errors import SetupError, UsageError

LONGER = {"attackers": (Attack("scratch", "scratch", "embedded", {"steps": 60, "batch": 8}),)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small.data(tmp_path_factory.mktemp("data"))


def outcomes(executor, *how: str, timeout: float = 0) -> dict[str, tuple[str, str]]:
    x, found = torch.full((1, 3, 8, 8), 7, dtype=torch.uint8), []
    left = [Job(kind, small.Trouble(kind), {"clean": x}, timeout, threads=1) for kind in how]
    busy = 0
    while left or busy:
        while left and busy < executor.slots:
            executor.submit(left.pop(0))
            busy += 1
        done = executor.wait()
        busy -= len(done)
        found += done
    for job, outcome in found:
        assert (outcome.status == "done") == (job.key == "none"), outcome
        assert outcome.status != "done" or torch.equal(outcome.pictures, x)
    return {job.key: (outcome.status, outcome.message) for job, outcome in found}


def expected(found: dict[str, tuple[str, str]]) -> None:
    assert {kind: status for kind, (status, _) in found.items()} == {
        kind: {"none": "done", "bug": "failed", "late": "timeout"}.get(kind, "memory") for kind in found
    }
    assert "KeyError" in found["bug"][1] and "longer than" in found["late"][1]


def test_here_a_failure_is_a_value():
    expected(outcomes(SerialExecutor(), "none", "memory", "bug", "late", timeout=0.3))


def test_a_pool_finds_the_same_and_outlives_processes_that_are_killed(folder, tmp_path):
    study = small.study(folder, subjects=("objects/ball",), purify=("none",))
    pool = Pool(2)
    expected(outcomes(pool, "none", "memory", "killed", "bug", "late", timeout=2))
    pool.submit(Job("closure", lambda given, checkpoint: ({}, given["clean"]), {}))
    ((_, outcome),) = pool.wait()
    assert outcome.status == "failed" and "cannot be handed to another process" in outcome.message
    found = bench(study, tmp_path / "pool", executor=pool, threads=1)
    assert small.told(found.rows) == small.told(bench(study, tmp_path / "here", threads=1).rows)
    assert not found.missing and not pool.idle and not pool.busy


def test_ray_that_is_not_installed_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SetupError, match=r"pip install 'unlearnable\[bench\]'"):
        place(1, 0, "auto", 0)


def test_one_executor_is_given(tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(small.TOML.format(data="x", steps=1))
    with pytest.raises(UsageError, match="give one of them"):
        run(recipe, tmp_path, jobs=2, ray="auto")


def test_a_cluster_has_as_many_slots_as_fit_on_its_nodes(monkeypatch):
    from unlearnable.bench.executors import ray

    nodes = SimpleNamespace(remote=lambda **_: lambda f: f, cluster_resources=lambda: {"CPU": 9.0, "GPU": 2.0})
    monkeypatch.setattr(ray, "connected", lambda address: nodes)
    found = [ray.Ray(cpus=cpus, gpus=gpus).slots for cpus, gpus in ((1, 0), (2, 0), (2, 0.5), (1, 0.25), (16, 0))]
    assert found == [9, 4, 4, 8, 1]


def counted(executor):
    """An executor's `wait`, with the keys of all outcomes on the way."""
    keys, wait = [], executor.wait

    def waited():
        done = wait()
        keys.extend(job.key for job, _ in done)
        return done

    executor.wait = waited
    return keys


@pytest.mark.slow
def test_ray_on_this_machine_finds_the_same(folder, tmp_path, monkeypatch):
    from unlearnable.bench.executors.ray import Ray

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # workers know this module's orders
    study, ray = small.study(folder), Ray("auto")
    expected(outcomes(ray, "none", "memory", "bug", "late", timeout=2))
    found = bench(study, tmp_path / "ray", executor=ray, threads=1)
    assert small.told(found.rows) == small.told(bench(study, tmp_path / "here", threads=1).rows) and not found.missing


@pytest.mark.slow
def test_a_cluster_that_loses_a_node_finishes_all_cells_and_none_twice(folder, tmp_path):
    from ray.cluster_utils import Cluster

    from unlearnable.bench.executors.ray import Ray

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(3)]
    cluster.wait_for_nodes()
    study = small.study(folder, **LONGER)
    done = []

    def kill() -> None:
        while len(list((tmp_path / "ray/cells").glob("*.json"))) < 12:
            time.sleep(0.1)
        done.append(sum(1 for path in (tmp_path / "ray/cells").glob("*.json")))
        cluster.remove_node(nodes[1], allow_graceful=False)

    try:
        ray = Ray(cluster.address)
        assert ray.slots == 3
        keys, killer = counted(ray), threading.Thread(target=kill, daemon=True)
        killer.start()
        found = bench(study, tmp_path / "ray", executor=ray, threads=1)
        killer.join()
    finally:
        cluster.shutdown()
    assert not found.missing and len(keys) == len(set(keys))
    assert 12 <= done[0] < len(list((tmp_path / "ray/cells").glob("*.json"))), "the node went in the middle"
    facts = [json.dumps(json.loads(p.read_text())["facts"]) for p in (tmp_path / "ray/cells").glob("*.json")]
    assert len(facts) == len(set(facts))
    assert small.told(found.rows) == small.told(bench(study, tmp_path / "here", threads=1).rows)
