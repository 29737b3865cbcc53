"""Cells on disk: present means done, whole or not there, known by all that decides them."""

import json
import os

import pytest
import torch

from audited import unfitted
from tiny import pictures
from unlearnable.errors import WriteError
from unlearnable.evaluation.attack import Pictures, Trial
from unlearnable.evaluation.store import Cell, Store, code
from unlearnable.personalization import presets
from unlearnable.personalization.scratch import Scratch

CELL = Cell({"kind": "test", "seed": 0, "list": ["a"]})


def test_what_was_put_is_got_again(tmp_path):
    store, x = Store(tmp_path / "cells"), pictures(2)
    assert store.get(CELL) is None
    store.checkpoint(CELL).parent.mkdir()
    store.checkpoint(CELL).write_text("half a training run")
    put = store.put(CELL, {"losses": [0.5, float("nan")], "seconds": 1.5}, x)
    assert store.get(CELL) == put == {"losses": [0.5, None], "seconds": 1.5, "pictures": 2}
    assert torch.equal(store.load(CELL, put), x)
    assert not store.checkpoint(CELL).exists()
    assert json.loads((store.folder / f"{CELL.key}.json").read_text())["facts"] == CELL.facts
    assert store.get(Cell(CELL.facts | {"seed": 1})) is None


def test_what_is_not_whole_is_not_done(tmp_path):
    store = Store(tmp_path)
    result = store.put(CELL, {}, pictures(1))
    path = tmp_path / f"{CELL.key}.json"
    whole = path.read_text()
    for torn in ("", whole[: len(whole) // 2], "[]", '{"facts": {}}', '{"result": {}}'):
        path.write_text(torn)
        assert store.get(CELL) is None
    path.write_text(whole)
    assert store.get(CELL) == result
    store.pictures(CELL, result)[0].unlink()
    assert store.get(CELL) is None


def test_a_full_disk_leaves_nothing_half_done(tmp_path, monkeypatch):
    store = Store(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    for count in (0, 1):
        with pytest.raises(WriteError, match="run"):
            store.put(CELL, {}, pictures(1)[:count])
    monkeypatch.undo()
    assert store.get(CELL) is None and list(tmp_path.glob("*.json")) == []


def test_a_cell_is_known_by_all_that_decides_its_result():
    model, attacker = unfitted(), presets.attacker("dreambooth", unfitted())
    seen, held = Pictures(pictures(2), ("a", "b")), Pictures(pictures(1, 3), ("c",))
    trial = Trial(attacker, "a photo of sks", 0, 2, 2, 2)
    same = trial.cell(model, seen, held).key
    assert trial.cell(unfitted(), seen, held).key == same
    other = unfitted()
    with torch.no_grad():
        next(other.denoiser.parameters()).add_(1e-3)
    keys = {
        same,
        trial.cell(other, seen, held).key,
        trial.cell(model, Pictures(seen.images, ("a", "x")), held).key,
        trial.cell(model, seen, Pictures(held.images, ("x",))).key,
        trial.cell(model, None, held).key,
        *[
            Trial(attacker, *more).cell(model, seen, held).key
            for more in (("sks", 0, 2, 2, 2), ("a photo of sks", 1, 2, 2, 2))
        ],
        Trial(presets.attacker("lora", model), "a photo of sks", 0, 2, 2, 2).cell(model, seen, held).key,
    }
    assert len(keys) == 8
    assert model.fingerprint() != other.fingerprint() and code("rng.py") != code("models")


def test_an_untouched_model_is_one_cell_for_all_attackers_that_start_from_it():
    model, held = unfitted(), Pictures(pictures(1), ("c",))
    kinds = [presets.attacker(name, model) for name in ("dreambooth", "lora")]
    cells = {Trial(attacker, "a photo of sks", 0, 2, 2, 2).cell(model, None, held).key for attacker in kinds}
    assert len(cells) == 1
    fresh = Trial(Scratch(steps=1), "a photo of sks", 0, 2, 2, 2)  # it starts from random weights
    assert fresh.cell(model, None, held).key not in cells
    assert (
        fresh(model, None, held)[0]["held_out"]
        != Trial(kinds[0], "a photo of sks", 0, 2, 2, 2)(model, None, held)[0]["held_out"]
    )
