"""The small decisions behind the model card's figures."""

import numpy as np
import pytest
import torch

from personalised import others, prompt_of, summary
from quality import principal
from samples import ranks
from unlearnable.models.features import FeatureNetwork
from unlearnable.purification.chain import parse
from yardstick import Plan, rates


def test_prompts_name_the_kind():
    assert prompt_of("dog2") == "a photo of sks dog"
    assert prompt_of("berry_bowl") == "a photo of sks bowl"
    assert prompt_of("styles/vangogh") == "a sks painting"


def test_five_others_depend_on_the_seed_and_the_name_alone():
    names = [f"s{i}" for i in range(20)]
    drawn = others(names, "s5", 0)
    assert len(set(drawn)) == 5 and "s5" not in drawn
    assert drawn == others(names, "s5", 0)
    assert drawn != others(names, "s5", 1) and drawn != others(names, "s6", 0)


def test_ranks_count_the_kinds_that_score_higher():
    network = FeatureNetwork(["a", "b", "c"], widths=(8, 8, 8, 8))
    logits = torch.tensor([[3.0, 2.0, 1.0], [0.0, 5.0, 9.0]])
    assert ranks(network, logits, ["b", "c"]).tolist() == [2, 1]


def test_summary_counts_first_places():
    def row(place, untouched, loss):
        figures = {"loss learned": loss, "loss untouched": 1.0, "own loss": 0.5, "own loss untouched": 1.0}
        figures |= {"learned: similarity": 0.5, "learned: next best": 0.25, "untouched: similarity": 0, "seconds": 2}
        places = {"learned": place, "untouched": untouched, "photographs": 1}
        for name, value in places.items():
            figures |= {f"{name}: place": value, f"{name}: place among all": value + 1}
        return figures

    found = summary([row(1, 2, 0.5), row(2, 1, 1.5)], [row(1, 1, 0.25)])
    assert found["objects, learned: first of 6"] == 1
    assert found["styles, learned: first of 6"] == 1
    assert found["objects, learned: first of all"] == 0
    assert found["held-out loss, learned / untouched, mean"] == 0.75
    assert found["held-out loss fell for"] == 2


def test_the_best_linear_autoencoder_loses_what_the_other_components_hold():
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (20, 3, 16, 16), dtype=torch.uint8)
    rows = torch.stack([pixels[:, :, i : i + 8, j : j + 8] for i in (0, 8) for j in (0, 8)], 1).reshape(80, -1).numpy()
    values = np.linalg.svd(rows - rows.mean(0), compute_uv=False)
    for count in (4, 40):
        found = (principal(pixels, count).float() - pixels.float()).square().sum().item()
        assert abs(found / (values[count:] ** 2).sum() - 1) < 0.02  # rounded and clamped to 8 bits


def test_rates_are_the_share_that_is_not_learned_over_subjects_that_are():
    def row(mean):
        return {"own": [mean, mean], "held-out": [mean + 1, mean + 1]}

    rows = {"a, untouched, own": row(1.0), "a, clean, lora, own": row(0.5), "a, mist, lora, own": row(0.75)}
    rows |= {"b, untouched, own": row(2.0), "b, clean, lora, own": row(1.0), "b, mist, lora, own": row(2.0)}
    rows |= {"c, untouched, own": row(1.0), "c, clean, lora, own": row(1.5), "c, mist, lora, own": row(9.0)}
    plan = Plan(methods=("mist",), attackers=("lora",))
    for judge in ("own", "held-out"):
        assert rates(rows, ["a", "b", "c"], plan, "own", "lora", judge)["mist"] == pytest.approx((0.25 + 1) / (0.5 + 1))
    rows |= {"a, mist behind jpeg:75, lora, own": row(0.5)}
    behind = Plan(methods=("mist",), attackers=("lora",), purify=parse("jpeg:75"))
    assert rates(rows, ["a"], behind, "own", "lora", "own") == {"mist behind jpeg:75": 0}
