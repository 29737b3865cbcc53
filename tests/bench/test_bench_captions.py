"""Captions beside a subject's pictures reach the benchmark's attackers, and only the cells of those."""

from dataclasses import replace

import pytest
import small
import torch

import tiny
from unlearnable import load_model
from unlearnable.bench.run import bench, prepare
from unlearnable.bench.study import Attack, Prompt
from unlearnable.errors import PictureError
from unlearnable.metrics.subject import held_out_loss
from unlearnable.personalization.dreambooth import DreamBooth
from unlearnable.rng import image_keys

TEXT = "sks, a ball on red"
FEW = {"steps": 4, "batch": 2, "lr": 1e-2, "augment": False}
PROMPTS = (Prompt(), Prompt("other word", token="zxq"), Prompt("other words", "a picture of {token}"))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("captions")
    tiny.fitted("sd1").pipeline().save_pretrained(folder / "model")
    attackers = (Attack("dreambooth", "dreambooth", "paper", FEW),)
    data = small.data(folder / "data", ("objects/ball",))
    return small.study(
        data, subjects=("objects/ball",), models=(str(folder / "model"),), attackers=attackers, purify=("none",),
        prompts=PROMPTS,
    )  # fmt: skip


def attacks(study):
    """The orders of the attacks on pictures by (method, prompt), and their keys."""
    plan, lines = prepare(study)
    found = {(line.point.method, line.point.prompt): plan.tasks[line.attack] for line in lines}
    return {what: (task.order, task.cell.key) for what, task in found.items()}


@pytest.fixture
def captioned(study, tmp_path):
    (small.data(tmp_path, ("objects/ball",)) / "objects/ball/1.txt").write_text(TEXT + "\n")
    return replace(study, data=str(tmp_path))


def test_only_the_cells_of_attackers_with_captions_are_new(study, captioned):
    plain, known = attacks(study), attacks(captioned)
    for (method, prompt), (order, key) in known.items():
        text = {"same": TEXT, "other word": "zxq, a ball on red"}.get(prompt) if method != "untouched" else None
        assert order.captions == ((None, text) if text else ())
        assert (key == plain[method, prompt][1]) == (text is None)
    with open(f"{captioned.data}/objects/ball/1.txt", "w"), pytest.raises(PictureError, match=r"1\.txt.* is empty"):
        prepare(captioned)


@pytest.mark.slow
def test_each_picture_is_learned_under_its_own_text(captioned, tmp_path):
    rows = bench(captioned, tmp_path / "out", only=("method=advdm", "prompt=same")).rows
    row = next(r for r in rows if r["method"] == "advdm")
    model = load_model(captioned.models[0], device="cpu", dtype="float32")
    views = [small.pixels(tmp_path / f"objects/ball/{i}.png", model.size) for i in range(4)]
    clean, held_out = torch.cat(views[:2]), torch.cat(views[2:])
    seen = torch.cat([small.pixels(tmp_path / "out" / path, model.size) for path in row["protected"]])

    def loss(captions):
        own = {"seed": 0, "keys": image_keys(clean), "captions": captions}
        learned = DreamBooth(**FEW).fit(model, seen, "a photo of sks ball", **own).model
        return held_out_loss(learned, held_out, "a photo of sks ball", 2).tolist()

    assert row["held_out"] == pytest.approx(loss((None, TEXT)), rel=1e-5)
    assert row["held_out"] != pytest.approx(loss(None), rel=1e-3)
