"""A small sample of `make coverage`, and numbers with known answers behind it."""

from __future__ import annotations

import pytest

from sim.censoring import survival
from sim.design import about, latin_hypercube, one_at_a_time
from sim.estimators import mean_interval
from sim.quantile_intervals import needed_observations, order_ranks
from sim.sample_size import Kind, needed_replications
from sim.stopping import next_replications
from sim.verdict import sign_verdict
from tests.coverage_study import models
from tests.coverage_study.study import CASES, Case, carry_out, student

QUICK = [c for c in CASES if "M/M/1" not in c.name and "Sobol" not in c.name]


@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
def test_an_interval_holds_the_known_answer(case):
    found = carry_out(case, 100, 1)
    assert found.coverage >= 0.87
    assert found.without < 50


def test_an_interval_from_too_few_replications_misses_its_floor():
    rare = next(s for s in models.SPREADS if s.kind == Kind.RARE_TAIL)
    assert not carry_out(Case("too few", "large n", student(rare, 10)), 100, 1).reached


def test_skewed_costs_need_30_and_the_tail_100():
    assert [needed_replications(k) for k in ("even", "skewed", "tail")] == [10, 30, 100]


@pytest.mark.parametrize(("probability", "needed"), [(0.5, 6), (0.95, 59), (0.99, 299)])
def test_order_statistics_need_so_many(probability, needed):
    assert needed_observations(probability) == needed
    assert order_ranks(needed, probability) is not None
    assert order_ranks(needed - 1, probability) is None


def test_product_limit_of_a_textbook_trial():
    """6-MP arm of Freireich and others (1963): median 23 weeks, lower limit 13."""
    came = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    found = survival(came, [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]).quantile_us(0.5)
    assert found[:3] == (23, 13, None)


def test_the_rule_stops_at_the_precision_and_not_before_ten():
    assert not next_replications([1.0] * 9, 0.05).stop
    assert next_replications([1.0] * 10, 0.05).reached
    assert next_replications([1.0, 3.0] * 5, 0.05).replications == 20
    assert not next_replications([1.0, None], 0.05).reached


def test_a_design_is_the_same_for_one_seed():
    factors = [about("a", 4.0), about("b", 1.0)]
    assert latin_hypercube(factors, 8, 1) == latin_hypercube(factors, 8, 1)
    assert latin_hypercube(factors, 8, 1) != latin_hypercube(factors, 8, 2)
    assert [p["a"] for p in one_at_a_time(factors)] == pytest.approx([4, 2, 8, 4, 4])


def test_a_verdict_names_where_the_sign_flips():
    points = [{"x": x, "y": y} for x in (1, 2, 3) for y in (1, 2)]
    found = sign_verdict(points, [mean_interval([p["x"] - 1.5]) for p in points])
    assert str(found.region) == "x <= 1"
    assert not found.same_sign
    assert sign_verdict(points, [mean_interval([1.0])] * 6).same_sign
