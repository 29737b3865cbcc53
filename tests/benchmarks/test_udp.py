"""The UDP study: its recipes are whole, its rows mean what they say, and a cell can be done again to the bit."""

import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import scipy.stats
import torch

from tiny import pictures
from unlearnable.personalization.scratch import Scratch
from unlearnable.protection import strengths
from unlearnable.protection.adjust import adjusted
from unlearnable.purification.chain import parse

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import udp
import udp_cells
import udp_data

RECIPES = sorted((Path(udp.__file__).parent / "recipes").glob("udp-*.toml"))
SMALL = udp_cells.Study(
    "small", "digits", 8, ["clean"], [0], widths=[8, 16], eps=16, samples=10, sampling=3, batch=16,
    game={"rounds": 2, "steps": 1, "train": 1, "warmup": 1, "learn": 4}, attack={"steps": 2, "batch": 4, "ema": 0.0},
)  # fmt: skip


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_are_whole(path):
    study = udp_cells.Study(**tomllib.loads(path.read_text()))
    assert study.seeds and {"clean", "random"} <= {udp_cells.parts(row)[0] for row in study.rows}
    replace(Scratch(), **study.attack)
    for row in study.rows:
        method, law, _, share, chain = udp_cells.parts(row)
        assert 0 < share <= 1
        if method != "clean":
            settings = strengths.protection(method, "paper")
            if method in ("udp", "eudp"):
                adjusted(settings, **study.game, law=law or settings.estimator.times.law)
        if chain:
            parse(chain, None)


def lab():
    x = pictures(20, seed=3, side=8)
    features = lambda images: images.flatten(1)[:, :5]  # noqa: E731
    return udp_cells.Lab(SMALL, x[:16], x[16:], features, udp_cells.model_of(SMALL))


@pytest.mark.parametrize("row", ["clean", "random@0.5", "eudp:snr", "udp+jpeg:75", "advdm"])
def test_a_cell(row):
    one, made = lab().cell(row, 1)
    two, again = lab().cell(row, 1)
    assert torch.equal(made, again) and made.shape == (10, 3, 8, 8)
    assert {k: v for k, v in one.items() if not k.endswith("_s")} == pytest.approx(
        {k: v for k, v in two.items() if not k.endswith("_s")}, nan_ok=True
    )
    assert (one["linf"] == 0) == (row == "clean") and one["linf"] <= 16


def test_rows_say_what_is_done():
    assert udp_cells.parts("clean") == ("clean", "", 0, 1, "")
    assert udp_cells.parts("eudp:ab-1-ab^4@0.25+jpeg:75+resize:0.5") == (
        "eudp",
        "ab-1-ab",
        4,
        0.25,
        "jpeg:75+resize:0.5",
    )


def test_half_of_the_set_is_protected():
    x = pictures(100, seed=3, side=8)
    y = udp_cells.protect(SMALL, "random@0.25", x, 0, udp_cells.model_of(SMALL))
    assert int((y != x).flatten(1).any(1).sum()) == 25


def test_ddim_against_diffusers():
    """On a model that answers with its input, in eight lines of DDIM as its paper has it, no clipping needed."""
    model = udp_cells.model_of(SMALL)
    model.predict = lambda z, t, c: 0.3 * z
    z = udp_cells.sampled(model, replace(SMALL, samples=2, sampling=2), 5)
    noise = udp_cells.normal(["0", "1"], (3, 8, 8), "udp study", 5)
    ab = model.pipe.scheduler.alphas_cumprod
    x = noise
    for now, then in ((999, 499), (499, -1)):
        clean = ((x - (1 - ab[now]).sqrt() * 0.3 * x) / ab[now].sqrt()).clamp(-1, 1)
        eps = (x - ab[now].sqrt() * clean) / (1 - ab[now]).sqrt()
        x = clean if then < 0 else ab[then].sqrt() * clean + (1 - ab[then]).sqrt() * eps
    torch.testing.assert_close(z, (x / 2 + 0.5).clamp(0, 1), atol=1e-4, rtol=1e-4)


def test_intervals_are_students():
    values = [1.0, 2.0, 4.0]
    mean, low, high = udp.mean_and_interval(values)
    expected = scipy.stats.t.interval(0.95, 2, loc=mean, scale=scipy.stats.sem(values))
    assert (low, high) == pytest.approx(expected, abs=1e-2) and mean == pytest.approx(7 / 3)


def test_rows_are_compared_with_random_noise_of_the_same_seed():
    fids = {("random", 0): 5.0, ("random", 1): 9.0, ("udp", 0): 6.0, ("eudp:ab-1-ab", 1): 12.0, ("udp", 2): 1.0}
    fids |= {("random^4@0.5", 0): 1.0, ("eudp^4@0.5", 0): 3.0}
    scale = {"fid": 1, "precision": 3, "recall": 4, "own_loss": 2}
    cells = [
        {"row": row, "seed": seed} | {name: times * value for name, times in scale.items()}
        for (row, seed), value in fids.items()
    ]
    udp.beside_random(cells)
    assert [cell["fid - random"] for cell in cells] == [0, 0, 1, 3, None, 0, 2]
    assert [cell["own_loss - random"] for cell in cells] == [0, 0, 2, 6, None, 0, 4]
    assert [cell["recall - random"] for cell in cells] == [0, 0, 4, 12, None, 0, 8]


def test_held_out_pictures_are_a_fifth():
    x = torch.arange(100)
    seen, held = udp_data.split(x)
    assert len(held) == 20 and not set(seen.tolist()) & set(held.tolist())
