"""From hand-made losses to rates and a verdict: the arithmetic, against numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from unlearnable.auditing.verdict import HELD, NOISE, NOT, PARTLY, UNDECIDED, UNKNOWN, verdict
from unlearnable.evaluation.figures import number, percent
from unlearnable.evaluation.material import CLEAN, CONTROL, PROTECTED, UNTOUCHED, Condition
from unlearnable.evaluation.rates import HELD_OUT, ORIGINALS, Estimate, Measure, Result, Row, rows, worst

JPEG, PURE = "jpeg:75", "diffpure:0.15"
# Held-out losses of eight photographs, four of each kind: the attacker's gain is 0.4 and 0.6, 0.5 in the mean
LOSSES = {
    Condition(UNTOUCHED): {0: 4 * [1.0, 1.2]},
    Condition(CLEAN): {0: 4 * [0.6, 0.6]},
    Condition(PROTECTED): {0: 4 * [0.9, 1.0]},
    Condition(PROTECTED, JPEG): {0: 4 * [0.7, 0.7]},
    Condition(PROTECTED, PURE): {0: 4 * [0.65, 0.7]},
    Condition(CONTROL): {0: 4 * [0.62, 0.6]},
}


def results(losses=LOSSES, own=(1.0, 0.5)):
    """Photographs of the first kind come first, so that both halves of the rows have as many of each."""
    return {
        condition: {
            seed: Result(*2 * [torch.tensor(values[::2] + values[1::2], dtype=torch.float64)], *own)
            for seed, values in seeds.items()
        }
        for condition, seeds in losses.items()
    }


def table(losses=LOSSES, failed=None) -> dict[Condition, Row]:
    return {row.condition: row for row in rows("dreambooth", results(losses), failed or {})}


def test_rates_are_ratios_of_means():
    found = table()
    expected = {
        Condition(CLEAN): 0,
        Condition(PROTECTED): 0.7,
        Condition(PROTECTED, JPEG): 0.2,
        Condition(CONTROL): 0.02,
    }
    for condition, rate in expected.items():
        assert found[condition].rate.value == pytest.approx(rate)
    assert not found[Condition(UNTOUCHED)].rate.defined
    assert found[Condition(PROTECTED)].over_control.value == pytest.approx(0.68)
    assert found[Condition(PROTECTED)].held_out.loss.value == pytest.approx(0.95)
    assert (found[Condition(CLEAN)].own_before, found[Condition(CLEAN)].own_after) == (1.0, 0.5)


def test_intervals_pair_the_photographs():
    """Of four photographs, by a slow search: the rates that a t test of the residuals does not exclude."""
    rng = np.random.default_rng(0)
    clean = rng.normal(0.5, 0.1, 4)
    columns = {CLEAN: clean, UNTOUCHED: clean + rng.normal(0.3, 0.02, 4), PROTECTED: clean + rng.normal(0.1, 0.02, 4)}
    columns[CONTROL] = clean + rng.normal(0.02, 0.01, 4)
    row = table({Condition(kind): {0: values.tolist()} for kind, values in columns.items()})[Condition(PROTECTED)]
    gain = columns[UNTOUCHED] - clean
    for estimate, base in ((row.rate, clean), (row.over_control, columns[CONTROL])):
        part, grid = columns[PROTECTED] - base, np.linspace(-1, 2, 6001)
        kept = grid[stats.ttest_1samp(part - grid[:, None] * gain, 0, axis=1).pvalue >= 0.05]
        assert (estimate.low, estimate.high) == pytest.approx((min(kept), max(kept)), abs=1e-3)


def test_seeds_that_differ_widen_an_interval():
    rng = np.random.default_rng(1)
    seeds, photos = 5, 6
    clean = rng.normal(0.5, 0.02, (1, photos)) + rng.normal(0, 0.02, (seeds, 1))
    mine, untouched = clean + rng.normal(0.1, 0.01, photos) + rng.normal(0, 0.05, (seeds, 1)), np.full(photos, 0.8)
    found = table(
        {
            Condition(UNTOUCHED): {0: untouched.tolist()},
            Condition(CLEAN): dict(enumerate(clean.tolist())),
            Condition(PROTECTED): dict(enumerate(mine.tolist())),
        }
    )[Condition(PROTECTED)]
    means = {CLEAN: clean.mean(0), PROTECTED: mine.mean(0), UNTOUCHED: untouched}
    alone = table({Condition(kind): {0: values.tolist()} for kind, values in means.items()})[Condition(PROTECTED)].rate
    assert alone.value == pytest.approx(found.rate.value)
    assert alone.high - alone.low < 0.7 * (found.rate.high - found.rate.low)


def test_one_photograph_and_several_seeds_have_an_interval():
    losses = {Condition(UNTOUCHED): {0: [1.0]}, Condition(CLEAN): {0: [0.5], 1: [0.5], 2: [0.5]}}
    row = table(losses | {Condition(PROTECTED): {0: [0.6], 1: [0.8], 2: [0.7]}})[Condition(PROTECTED)]
    want = stats.t.interval(0.95, 2, loc=0.4, scale=0.2 / 3**0.5)
    assert (row.rate.low, row.rate.value, row.rate.high) == pytest.approx((want[0], 0.4, want[1]))


def test_seeds_are_averaged_photograph_by_photograph():
    losses = LOSSES | {
        Condition(CLEAN): {0: 4 * [0.6, 0.6], 1: 4 * [0.5, 0.5]},
        Condition(PROTECTED): {0: 4 * [0.9, 1.0], 1: 4 * [0.6, 0.6]},
    }
    row = table(losses)[Condition(PROTECTED)]
    assert row.rate.value == pytest.approx((0.775 - 0.55) / (1.1 - 0.55))
    assert row.held_out.by_seed == pytest.approx(((0.95 - 0.6) / 0.5, (0.6 - 0.5) / 0.6))


def test_a_seed_that_failed_is_left_out_and_said():
    losses = LOSSES | {
        Condition(CLEAN): {0: 4 * [0.6, 0.6], 1: 4 * [0.5, 0.5]},
        Condition(PROTECTED): {1: 4 * [0.6, 0.6]},
    }
    row = table(losses, {Condition(PROTECTED): "diverged"})[Condition(PROTECTED)]
    assert row.failed == "diverged" and row.held_out.by_seed == pytest.approx(((0.6 - 0.5) / 0.6,))
    gone = table(LOSSES | {Condition(PROTECTED): {}}, {Condition(PROTECTED): "diverged"})[Condition(PROTECTED)]
    assert gone.failed == "diverged" and not gone.rate.defined


def test_one_photograph_has_a_rate_and_no_interval():
    found = table({condition: {0: seeds[0][:1]} for condition, seeds in LOSSES.items()})[Condition(PROTECTED)]
    assert found.rate.value == pytest.approx(0.75) and math.isnan(found.rate.low)
    assert percent(found.rate) == "75 % (no interval)"


def test_an_attacker_that_did_not_learn_leaves_no_rate():
    found = table(LOSSES | {Condition(CLEAN): {0: 4 * [1.1, 1.1]}})
    assert not any(row.rate.defined or row.over_control.defined for row in found.values())
    assert "did not learn the clean pictures" in found[Condition(PROTECTED)].rate.note
    said = verdict(list(found.values()))
    assert said.worst is None and said.level == UNKNOWN and "guarantee" in said.sentences[-1]
    without = table({c: s for c, s in LOSSES.items() if c.kind != CLEAN})
    assert verdict(list(without.values())).level == UNKNOWN


def test_who_learned_by_heart_is_judged_by_what_it_learned():
    """Held-out losses rose under the clean attacker, those of its own pictures fell."""
    worse, before = torch.tensor([1.1, 1.3]), torch.tensor([1.0, 1.2])
    own = {UNTOUCHED: [1.0, 1.0, 1.0], CLEAN: [0.5, 0.5, 0.5], PROTECTED: [0.9, 0.9, 0.9], CONTROL: [0.5, 0.6, 0.55]}
    given = {
        Condition(kind): {0: Result(before if kind == UNTOUCHED else worse, torch.tensor(losses), 1.0, 0.5)}
        for kind, losses in own.items()
    }
    found = {row.condition.kind: row for row in rows("dreambooth", given, {})}
    assert {row.judged for row in found.values()} == {ORIGINALS}
    row = found[PROTECTED]
    assert not row.held_out.rate.defined and row.rate.value == pytest.approx(0.8)
    assert row.over_control.value == pytest.approx(0.7) and not found[UNTOUCHED].rate.defined
    said = verdict(list(found.values()))
    assert said.level == HELD and "judged by your own pictures" in said.sentences[0]
    assert "dreambooth, judged by your own pictures, which it tried to learn: protection" in said.sentences[1]
    assert {row.judged for row in table().values()} == {HELD_OUT}


def test_a_gain_of_next_to_nothing_is_none():
    """Rates are shares of the gain: of one in a thousand, any noise is a large share."""
    losses = LOSSES | {Condition(CLEAN): {0: 4 * [0.998, 1.198]}, Condition(PROTECTED): {0: 4 * [0.999, 1.199]}}
    found = table(losses)[Condition(PROTECTED)]
    assert not found.rate.defined and "fell by 0.18 %, less than 1 %" in found.rate.note


def test_the_verdict_puts_the_worst_case_first():
    ours = list(table().values())
    said = verdict(ours)
    assert (said.worst, said.rate) == worst(ours) and said.worst.condition == Condition(PROTECTED, PURE)
    assert said.headline.startswith("Not protected: in the worst case tried, the attacker learned about as well")
    assert said.sentences[0] == (
        "Worst case tried: protection rate 15 % (12 to 17), dreambooth after diffpure:0.15, "
        "judged by photographs that it never saw."
    )
    assert said.sentences[1] == (
        "dreambooth: protection rate 70 % (67 to 74) without countermeasure, 20 % (17 to 24) after jpeg:75, "
        "15 % (13 to 17) after diffpure:0.15. Random noise of the same size gives 2 % (0 to 5)."
    )
    assert "not a guarantee" in said.sentences[-1]


def test_the_worst_attacker_counts():
    weak = [Row("lora", row.condition, Measure(rate=Estimate(row.rate.value - 0.1))) for row in table().values()]
    assert verdict([*table().values(), *weak]).worst.attack == "lora"


@pytest.mark.parametrize("truth", [0.0, 0.3])
@pytest.mark.parametrize("count", [4, 8])
def test_the_worst_case_is_not_the_noise_that_chose_it(truth, count):
    """Five equal attacks: the rate of the worst is the truth in the mean, and its interval holds it in 93 %."""
    found, own, tries = [], [], 150
    conditions = [Condition(PROTECTED, f"jpeg:{quality}") for quality in range(5)]
    for seed in range(tries):
        rng = np.random.default_rng(seed)
        clean = {CLEAN: rng.normal(0.5, 0.05, count), UNTOUCHED: rng.normal(1.0, 0.05, count)}
        gain = clean[UNTOUCHED] - clean[CLEAN]
        losses = {Condition(kind): {0: list(values)} for kind, values in clean.items()}
        losses |= {c: {0: list(clean[CLEAN] + truth * gain + rng.normal(0, 0.05, count))} for c in conditions}
        losses |= {Condition(CLEAN, c.purify): losses[Condition(CLEAN)] for c in conditions}
        row, rate = worst(rows("lora", results(losses), {}))
        found.append(rate)
        own.append(row.rate.value)
    error = 0.05 / 0.5 / math.sqrt(count * tries)
    assert np.mean([rate.value for rate in found]) == pytest.approx(truth, abs=5 * error)
    assert np.mean(own) < truth - 10 * error, "the least of the rates themselves is too low"
    held = np.mean([rate.low <= truth <= rate.high for rate in found])
    assert held > 0.95 - 3 * math.sqrt(0.95 * 0.05 / tries)


@pytest.mark.parametrize(
    ("rate", "over", "level"),
    [
        (Estimate(0.9, 0.8, 1.0), 0.5, HELD),
        (Estimate(0.9, 0.5, 1.2), 0.5, PARTLY),  # the value alone would say too much
        (Estimate(0.3, 0.1, 0.4), 0.05, PARTLY),
        (Estimate(0.9, 0.8, 1.0), -0.1, NOISE),  # noise of the same size did as much
        (Estimate(0.3, 0.1, 0.4), math.nan, NOISE),  # and here nobody knows what noise does
        (Estimate(0.9, -0.1, 1.8), 0.5, UNDECIDED),
        (Estimate(-0.1, -0.3, 0.3), -0.3, UNDECIDED),
        (Estimate(0.15, 0.1, 0.2), 0.05, NOT),
        (Estimate(-0.1, -0.2, 0.1), -0.2, NOT),
        (Estimate(0.9), 0.5, UNDECIDED),  # one photograph speaks for itself alone
        (Estimate(-0.1), -0.2, UNDECIDED),
    ],
)
def test_the_interval_speaks_and_noise_has_to_be_beaten(rate, over, level):
    row = Row("lora", Condition(PROTECTED), Measure(rate=rate, over_control=Estimate(over, over, over)))
    assert verdict([row]).level == level and verdict([row]).headline.endswith(".")
    purified = Row("lora", Condition(PROTECTED, JPEG), Measure(rate=Estimate(2, 2, 2), over_control=Estimate(2, 2, 2)))
    assert verdict([purified, row]).level == level, "what a countermeasure left does not count against noise"


def test_numbers_for_people():
    shares = (-0.174, -0.004, 0.995, math.inf, -math.inf, math.nan)
    assert [number(share) for share in shares] == ["−17", "0", "100", "∞", "−∞", "–"]
    assert percent(Estimate(0.62, 0.41, 0.8)) == "62 % (41 to 80)" and percent(Estimate()) == "undefined"
