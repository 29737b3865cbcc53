"""Scores, intervals against closed forms, and what the registry says about each metric."""

import math
import subprocess
import sys

import pytest
import torch

from unlearnable import registry
from unlearnable.errors import UsageError
from unlearnable.metrics.base import Score, facts, half_samples, metric, score


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_mean_worst_and_undefined_rows():
    better_high = Score("psnr", torch.tensor([30.0, torch.nan, 40.0]), True)
    assert (better_high.mean, better_high.worst) == (35, 30)
    assert Score("linf", torch.tensor([3.0, 6.0]), False).worst == 6
    nothing = Score("ism", torch.tensor([torch.nan]), False)
    assert math.isnan(nothing.mean) and math.isnan(nothing.worst) and all(map(math.isnan, nothing.interval()))


def test_one_row_has_no_interval_and_a_given_one_is_kept():
    assert all(map(math.isnan, Score("psnr", torch.tensor([30.0]), True).interval()))
    assert Score("fid", torch.tensor([3.0]), False, bounds=(2.0, 4.0)).interval() == (2.0, 4.0)


def test_infinite_rows_stay_infinite():
    low, high = Score("psnr", torch.tensor([30.0] * 9 + [torch.inf]), True).interval()
    assert low == 30 and high == math.inf


def test_half_samples_vary_as_much_as_new_samples_would():
    a, b = 3 + normal(300, 1), 2 * normal(200, 1, seed=1)
    low, high = half_samples(lambda x, y: float(x.mean() - y.mean()), a, b, rounds=1000)
    error = (1 / 300 + 4 / 200) ** 0.5
    assert (low + high) / 2 == pytest.approx(float(a.mean() - b.mean()), abs=0.1 * error)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_half_samples_of_sets_too_small_for_the_metric():
    from unlearnable.metrics.distribution import kid

    assert all(map(math.isnan, half_samples(kid, normal(3, 4), normal(9, 4))))


def test_score_by_name_wraps_rows_and_single_values():
    x = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    found = score("psnr", (x + 0.1).clamp(0, 1), x)
    assert found.unit == "dB" and len(found.values) == 4 and found.interval()[0] < found.mean < found.interval()[1]
    single = score("kid", normal(40, 3), normal(50, 3, seed=1) + 1)
    assert single.values.shape == (1,) and single.bounds and single.bounds[0] < single.mean < single.bounds[1]


def test_every_metric_states_source_or_formula_direction_and_needs():
    assert len(registry.names("metric")) >= 20
    for name in registry.names("metric"):
        known, entry = facts(registry.load(name, "metric")), registry.entry(name, "metric")
        assert "Unit:" in entry.text and "Needs:" in entry.text, name
        stated = entry.text.partition("Better")[2].partition(":")[2].split()[0].strip(".,;(")
        assert stated == ("higher" if known.higher_is_better else "lower"), name


def test_listing_metrics_needs_no_torch():
    script = (
        "import sys\nfrom unlearnable import registry\n"
        "[registry.entry(name, 'metric') for name in registry.names('metric')]\nsys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


def test_unknown_names_and_plain_functions():
    with pytest.raises(UsageError, match="did you mean 'psnr'"):
        score("pnsr", torch.zeros(1), torch.zeros(1))
    with pytest.raises(UsageError, match="is no metric"):
        facts(len)

    @metric("pairs", higher_is_better=False)
    def third_party(images, references):
        return images

    assert facts(third_party).takes == "pairs" and third_party(1, 2) == 1
