"""Estimators on cases with known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.estimators import (
    mean_interval,
    paired_difference,
    proportion_interval,
    quantile,
    summary,
)

numbers = st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=30)


def test_interval_of_a_textbook_sample():
    """Mean 5, standard deviation sqrt(2.5), t(4; 0.975) = 2.776445."""
    result = mean_interval([3, 4, 5, 6, 7])
    half = 2.7764451051977987 * math.sqrt(2.5 / 5)
    assert result.replications == 5
    assert result.limits() == pytest.approx([5 - half, 5 + half])


def test_interval_agrees_with_scipy_stats():
    from scipy import stats

    values = [1.5, 2.5, 9.0, -4.0]
    low, high = stats.t.interval(0.9, 3, loc=np.mean(values), scale=stats.sem(values))
    assert mean_interval(values, 0.9).limits() == pytest.approx([low, high])


def test_a_higher_level_makes_a_wider_interval():
    assert mean_interval([1, 2, 4], 0.99).low < mean_interval([1, 2, 4], 0.95).low


def test_interval_covers_the_true_mean_as_often_as_it_says():
    generator = np.random.default_rng(5)
    inside = 0
    for _ in range(2000):
        low, high = mean_interval(generator.normal(10, 3, 4).tolist()).limits()
        inside += low <= 10 <= high
    assert inside / 2000 == pytest.approx(0.95, abs=0.02)


def test_single_replication_has_no_interval():
    result = mean_interval([4.0])
    assert (result.mean, result.low, result.high, result.limits()) == (4.0, None, None, None)


def test_equal_values_have_an_interval_of_no_width():
    assert mean_interval([2.0, 2.0, 2.0]).limits() == [2.0, 2.0]


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_no_mean_over_what_is_not_finite(bad):
    with pytest.raises(ValueError, match="must be finite"):
        mean_interval([1.0, bad])


def test_no_mean_of_nothing_and_no_odd_level():
    with pytest.raises(ValueError, match="at least one"):
        mean_interval([])
    with pytest.raises(ValueError, match=r"level \(1\)"):
        mean_interval([1.0, 2.0], 1)


def test_paired_difference_is_b_minus_a():
    result = paired_difference([1, 2, 3], [2, 4, 6])
    assert result.mean == 2
    assert result.limits() == pytest.approx(mean_interval([1, 2, 3]).limits())


def test_pairing_takes_the_common_part_out():
    common = [10.0, 500.0, 90.0]
    result = paired_difference(common, [value + 1 for value in common])
    assert result.limits() == pytest.approx([1.0, 1.0])


def test_pairs_of_different_number_are_refused():
    with pytest.raises(ValueError, match="1 and 2"):
        paired_difference([1], [1, 2])


@given(numbers, st.floats(0, 1))
def test_quantile_is_numpys_default(values, probability):
    expected = np.quantile(values, probability)
    assert quantile(values, probability) == pytest.approx(expected, rel=1e-9, abs=1e-3)


def test_quantile_of_censored_observations():
    values = [1.0, 2.0, 3.0, None, math.inf]
    assert quantile(values, 0.5) == 3.0
    assert quantile(values, 0.6) is None
    assert quantile([], 0.5) is None


def test_quantile_refuses_what_is_no_number():
    with pytest.raises(ValueError, match="nan"):
        quantile([1.0, math.nan], 0.5)
    with pytest.raises(ValueError, match="probability"):
        quantile([1.0], 1.5)


def test_summary_of_one_replication():
    result = summary([4.0, 1.0, 3.0, 2.0])
    assert result["p50"] == 2.5
    assert result["p95"] == pytest.approx(3.85)
    assert (result["n"], result["mean"], result["max"], result["censored"]) == (4, 2.5, 4.0, 0)
    assert list(result) == ["n", "mean", "p50", "p95", "p99", "max", "censored"]


def test_summary_counts_the_censored_and_gives_no_mean():
    result = summary([1.0, 2.0, 3.0, None])
    assert (result["n"], result["censored"]) == (4, 1)
    assert (result["mean"], result["max"], result["p95"]) == (None, None, None)
    assert result["p50"] == 2.5


def test_summary_of_nothing_is_all_null():
    result = summary([])
    assert (result.pop("n"), result.pop("censored")) == (0, 0)
    assert set(result.values()) == {None}


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e12), st.just(math.inf)), max_size=20))
def test_summary_never_holds_a_nan_or_infinity(values):
    for value in summary(values).values():
        assert value is None or math.isfinite(value)


def test_scipy_is_not_imported_before_it_is_needed(python):
    script = "import sys, sim.estimators as e; e.summary([1]); print('scipy' in sys.modules)"
    assert python("-c", script).stdout.split() == [b"False"]


def test_interval_of_a_share_agrees_with_scipy_stats():
    from scipy import stats

    for hits, count in ((0, 10), (3, 10), (10, 10), (190, 10_000)):
        wilson = stats.binomtest(hits, count).proportion_ci(0.9, method="wilson")
        found = proportion_interval(hits, count, 0.9)
        assert found.share == hits / count
        assert (found.low, found.high) == pytest.approx(tuple(wilson), abs=1e-12)


def test_interval_of_a_share_stays_in_bounds_and_has_a_width():
    for hits in (0, 20):
        found = proportion_interval(hits, 20)
        assert 0 <= found.low < found.high <= 1
        assert found.low <= found.share <= found.high


@pytest.mark.parametrize(
    ("hits", "count", "level"), [(1, 0, 0.95), (-1, 5, 0.95), (6, 5, 0.95), (1, 5, 1)]
)
def test_a_share_that_cannot_be_is_refused(hits, count, level):
    with pytest.raises(ValueError):
        proportion_interval(hits, count, level)
