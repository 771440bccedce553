"""Designs, sensitivity, verdicts and input ranges on cases whose answer is known."""

from __future__ import annotations

import math

import pytest

from sim.comparisons import bonferroni, matched, paired_ratio, pairing, several_differences
from sim.design import (
    Factor,
    about,
    full_factorial,
    latin_hypercube,
    one_at_a_time,
    saltelli_points,
    sobol_points,
    two_level,
)  # fmt: skip
from sim.estimators import Interval, mean_interval
from sim.input_ranges import two_intervals
from sim.quantile_intervals import order_interval, quantile_interval
from sim.sample_size import Kind, needed_replications, trust
from sim.sensitivity import main_effects, rank_correlations, tornado
from sim.sobol_indices import sobol_indices
from sim.stopping import next_replications, together
from sim.verdict import sign_verdict

A = Factor("a", levels=(1, 2, 3))
B = Factor("b", low=0.0, high=10.0)


def test_a_full_factorial_has_every_combination_the_last_factor_fastest():
    points = full_factorial([A, B])
    assert [(p["a"], p["b"]) for p in points] == [(a, b) for a in (1, 2, 3) for b in (0.0, 10.0)]
    assert two_level([A, B]) == [p for p in points if p["a"] != 2]


def test_one_at_a_time_leaves_all_but_one_factor_at_its_base():
    base, *others = one_at_a_time([A, B])
    assert base == {"a": 1, "b": 5.0}
    assert [[k for k in base if p[k] != base[k]] for p in others] == [["a"], ["a"], ["b"], ["b"]]


def test_a_hypercube_meets_each_slice_of_each_factor_once():
    points = latin_hypercube([B, about("c", 4.0)], 8, seed=3)
    assert sorted(int(float(p["b"]) / 10 * 8) for p in points) == list(range(8))
    shares = [math.log(float(p["c"]) / 2.0) / math.log(4.0) for p in points]
    assert sorted(int(share * 8) for share in shares) == list(range(8))
    assert points == latin_hypercube([B, about("c", 4.0)], 8, seed=3)
    assert points != latin_hypercube([B, about("c", 4.0)], 8, seed=4)


def test_sobol_points_are_a_power_of_two_or_refused():
    assert len(sobol_points([A, B], 8, 1)) == 8
    with pytest.raises(ValueError, match="as 4 or 8"):
        sobol_points([A, B], 6, 1)


@pytest.mark.parametrize(
    "words",
    [{}, {"low": 1.0}, {"levels": (1,)}, {"levels": (1, 1)}, {"low": 2.0, "high": 1.0},
     {"low": 0.0, "high": 1.0, "log": True}, {"levels": (1, 2), "low": 0.0, "high": 1.0}],
)  # fmt: skip
def test_a_factor_that_cannot_be_is_refused(words):
    with pytest.raises(ValueError, match=r"factor x|of x"):
        Factor("x", **words)


def test_main_effects_of_a_known_plane():
    points = two_level([A, B])
    found = main_effects(points, [10 + 3 * p["a"] - 2 * p["b"] for p in points])
    assert [(e.factor, e.effect) for e in found] == [("b", -20.0), ("a", 6.0)]


def test_a_tornado_sorts_by_swing_and_puts_what_never_came_first():
    points = one_at_a_time([A, B])
    values = [p["a"] + 0.1 * p["b"] for p in points]
    bars = tornado(points, values)
    assert [(b.factor, b.low, b.high) for b in bars] == [("a", 1, 3), ("b", 0.0, 10.0)]
    assert bars[0].swing == pytest.approx(2)
    first, *_ = tornado(points, [*values[:-1], None])
    assert (first.factor, first.swing) == ("b", None)


def test_ranks_of_a_rising_curve_are_one_whatever_its_shape():
    points = latin_hypercube([B, about("c", 1.0)], 16, 1)
    rows = rank_correlations(points, [math.exp(float(p["b"])) for p in points])
    assert rows[0].factor == "b"
    assert rows[0].rho == pytest.approx(1)
    assert abs(rows[1].rho or 0) < 0.6


def test_sobol_indices_of_a_sum_are_the_shares_of_the_variances():
    """y = a + 2 b over equal ranges: b has 4/5 of the variance, and nothing is shared."""
    factors = [Factor("a", low=0.0, high=1.0), Factor("b", low=0.0, high=1.0)]
    points = saltelli_points(factors, 512, 1)
    first, second = sobol_indices(factors, [float(p["a"]) + 2 * float(p["b"]) for p in points], 1)
    assert (first.factor, second.factor) == ("b", "a")
    assert first.total.value == pytest.approx(0.8, abs=0.02)
    assert second.first.value == pytest.approx(0.2, abs=0.02)
    assert first.total.low < 0.8 < first.total.high


def test_a_verdict_needs_intervals_without_zero():
    points = [{"x": float(i)} for i in range(4)]
    up, down, open_ = Interval(5, 2, 1, 3), Interval(5, -2, -3, -1), Interval(5, 1, -1, 3)
    assert str(sign_verdict(points, [up] * 4)) == "same sign in all 4 sampled points"
    mixed = sign_verdict(points, [up, up, open_, down])
    assert (mixed.positive, mixed.negative, mixed.undecided) == (2, 1, 1)
    assert str(mixed).endswith("negative only where x >= 3")
    assert sign_verdict(points, [None] * 4).unmatched == 4


def test_the_input_range_is_of_means_and_names_its_ends():
    found = two_intervals({"base": [1, 2, 3], "low": [0, 1, 2], "high": [4, 5, 6]}, "base")
    assert found.input_range() == [1, 5]
    assert (found.lowest.point, found.highest.point) == ("low", "high")
    assert found.monte_carlo == mean_interval([1, 2, 3])
    still = two_intervals({"base": [1, 2], "a": [1, 2], "z": [1, 2]}, "base")
    assert (still.lowest.point, still.highest.point) == ("base", "base")
    missing = two_intervals({"base": [1, 2], "low": [None, 2]}, "base")
    assert missing.input_range() is None
    assert missing.missing == ("low",)
    with pytest.raises(ValueError, match="must be one of the points"):
        two_intervals({"low": [1]}, "base")


def test_what_one_side_never_reached_makes_no_pair():
    found = matched({0: 1.0, 1: 2.0, 2: None}, {0: 5.0, 1: math.inf, 3: 1.0})
    assert (found.a, found.b, found.unmatched) == ([1.0], [5.0], 2)


def test_pairs_that_share_their_luck_have_less_variance_than_independent_ones():
    a = [1.0, 2.0, 3.0, 4.0]
    gain = pairing(a, [x + 10 for x in a])
    assert gain.correlation == pytest.approx(1)
    assert gain.reduction == pytest.approx(1)
    assert pairing(a, a[::-1]).reduction == pytest.approx(-1)
    assert pairing(a, [3.0] * 4).reduction == pytest.approx(0)


def test_a_ratio_of_equal_pairs_has_no_width_and_owns_up_near_zero():
    a = [10.0, 11.0, 12.0]
    exact = paired_ratio(a, [2 * x for x in a])
    assert exact.limits() == pytest.approx([2, 2])
    assert paired_ratio([-1.0, 0.5, 1.0], [1.0, 1.0, 1.0]).limits() is None


def test_several_intervals_are_wider_than_one():
    assert bonferroni(0.95, 5) == pytest.approx(0.99)
    a, b = [1.0, 2.0, 4.0, 3.0], [2.0, 4.0, 5.0, 3.5]
    one = several_differences(a, {"b": b})["b"]
    two = several_differences(a, {"b": b, "c": a})["b"]
    assert two.low < one.low < one.high < two.high


def test_quantiles_are_taken_within_each_replication():
    runs = [[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]
    assert quantile_interval(runs, 0.5).interval == mean_interval([2.0, 3.0])
    assert quantile_interval([[1.0], [None]], 0.5).missing == 1


def test_an_order_interval_says_how_many_it_takes():
    few = order_interval([float(i) for i in range(58)], 0.95)
    assert (few.limits(), few.needed) == (None, 59)
    assert order_interval([float(i) for i in range(59)], 0.95).limits() is not None


def test_trust_follows_from_what_was_measured():
    assert needed_replications(Kind.SKEWED) == 30
    assert needed_replications(Kind.TAIL) == 100
    assert not trust(Kind.SKEWED, 29).enough
    assert trust(Kind.SKEWED, 30) == (True, 30, 30, pytest.approx(0.9311))
    assert trust(Kind.EVEN, 3).coverage is None
    with pytest.raises(ValueError, match="must be one of even"):
        trust("odd", 10)


def test_the_rule_stops_where_a_measure_never_came_or_there_are_too_many():
    assert next_replications([1.0] * 9, 0.1).replications == 10
    assert next_replications([1.0] * 10, 0.1).reached
    never = next_replications([1.0] * 9 + [None], 0.1)
    assert (never.stop, never.reached) == (True, False)
    wild = [0.0, 100.0] * 5
    assert next_replications(wild, 0.01).replications == 20
    assert next_replications(wild, 0.01, most=10).why == "10 replications were not enough"
    going = next_replications(wild, 0.01)
    assert together([never, going]) == going
