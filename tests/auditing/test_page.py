"""What the page shows first, and where it draws a rate."""

import math

import numpy as np
import pytest

from unlearnable.auditing.page import ranked
from unlearnable.auditing.shots import DETAIL, middle
from unlearnable.evaluation.html import bar, tidy
from unlearnable.evaluation.material import CLEAN, CONTROL, PROTECTED, UNTOUCHED, Condition
from unlearnable.evaluation.rates import Estimate, Measure, Row


def attacked(name: str, *rates: float) -> list[Row]:
    """As an audit orders them: untouched, clean, protected, purified ones, the control."""
    protected = [
        Row(name, Condition(PROTECTED, f"jpeg:{i}"), Measure(rate=Estimate(rate))) for i, rate in enumerate(rates)
    ]
    control = Row(name, Condition(CONTROL), Measure(rate=Estimate(-9)))
    return [
        Row(name, Condition(UNTOUCHED)),
        Row(name, Condition(CLEAN), Measure(rate=Estimate(0))),
        *protected,
        control,
    ]


def test_the_worst_case_comes_first_and_the_control_last():
    nothing = math.nan
    rows = [*attacked("failed", nothing), *attacked("weak", 0.9, nothing, 0.7), *attacked("strong", 0.8, 0.1)]
    charted = [(name, [row.rate.value for row in lines]) for name, lines in ranked(rows)]
    assert [name for name, _ in charted] == ["strong", "weak", "failed"]
    assert charted[0][1] == [0.1, 0.8, -9] and charted[1][1][:2] == [0.7, 0.9]
    assert len(charted[1][1]) == 4, "one without a rate is listed as well"


def test_a_bar_ends_where_the_scale_does():
    at = bar(Estimate(0.5, -3, 9))
    assert (at["low"], at["none"], at["value"], at["all"], at["high"]) == pytest.approx((0, 16.7, 50, 83.3, 100))
    assert bar(Estimate(0.5))["low"] == bar(Estimate(0.5))["high"] == 50


def test_a_detail_is_the_middle_at_full_size():
    pixels = np.arange(3 * 401 * 300, dtype=np.uint32).reshape(401, 300, 3)
    assert (middle(pixels) == pixels[120:280, 70:230]).all() and middle(pixels).shape == (DETAIL, DETAIL, 3)
    assert (middle(pixels[:90, :200]) == pixels[:90, 20:180]).all()


def test_a_rate_and_its_interval_stay_on_one_line():
    assert tidy("rate 15 % (13 to 17), after") == "rate 15\u00a0%\u00a0(13\u00a0to\u00a017), after"
