"""`sim.trend`: slopes with a known answer, and how often noise alone is taken for growth."""

from __future__ import annotations

import numpy as np
import pytest

from sim.trend import trend


def test_a_straight_line_has_its_slope_and_no_width():
    found = trend(range(100), [3.0 + 0.5 * x for x in range(100)])
    assert found.slope == pytest.approx(0.5)
    assert found.low == pytest.approx(0.5)
    assert found.high == pytest.approx(0.5)
    assert found.grows


def test_the_slope_is_that_of_the_batch_means():
    """Least squares by hand: means 1, 3 at the ends of ten batches, 2 between."""
    ys = np.repeat([1.0, *[2.0] * 8, 3.0], 2)
    xs = np.repeat(np.arange(10.0), 2)
    centred = np.arange(10) - 4.5
    expected = (centred[-1] * 3 + centred[0] * 1) / (centred**2).sum()
    assert trend(xs, ys).slope == pytest.approx(expected)


def test_noise_grows_no_more_often_than_the_level_says():
    random = np.random.default_rng(1)
    grown = sum(trend(range(200), random.normal(size=200)).grows for _ in range(1000))
    assert 10 <= grown <= 45  # 2.5 % of 1000 each side


def test_growth_is_found_in_noise():
    random = np.random.default_rng(2)
    xs = np.arange(200.0)
    assert all(trend(xs, 0.05 * xs + random.normal(size=200)).grows for _ in range(100))


@pytest.mark.parametrize(
    ("times", "values", "batches", "words"),
    [
        (range(30), range(29), 10, "must be as many"),
        (range(30), range(30), 9, "must be at least 10"),
        (range(19), range(19), 10, "must be at least 20"),
        ([0.0] * 30, range(30), 10, "must go on"),
        (range(30), [float("inf")] * 30, 10, "must be finite"),
    ],
)
def test_what_has_no_trend_is_refused(times, values, batches, words):
    with pytest.raises(ValueError, match=words):
        trend(list(times), list(values), batches)
