"""Quantiles with an interval of their own, in the two ways that are right.

Observations of one run depend on each other, so a quantile of a run is one number; over
replications such numbers are independent and carry Student's interval (Law, Simulation Modeling and
Analysis, 5th ed., 9.4.1).  Independent observations, one from each replication, carry an interval
between two of their order statistics whatever their distribution is (David and Nagaraja, Order
Statistics, 3rd ed., 7.1): the ranks depend on the number of observations alone.  Where there are
too few for that, there is no interval, and it is said how many it takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from sim.critical_values import binomial_at_most, checked_level
from sim.estimators import Interval, in_order, mean_interval, quantile


class QuantileMean(NamedTuple):
    """A quantile taken within each replication, and its mean over them."""

    interval: Interval | None  # None if the quantile of some replication never came
    missing: int  # replications in which it never came


class OrderInterval(NamedTuple):
    """A quantile of independent observations between two of them."""

    observations: int
    value: float | None  # None if it never came
    low: float | None  # None if there are too few observations
    high: float | None  # None also if that rank never came: there is no upper limit
    needed: int  # the least number of observations for an interval
    level: float | None  # how often such ranks hold the quantile, at least as asked for

    def limits(self) -> list[float] | None:
        """`[low, high]`, or None if either is missing."""
        return None if self.low is None or self.high is None else [self.low, self.high]


def quantile_interval(
    replications: Sequence[Sequence[float | None]], probability: float, level: float = 0.95
) -> QuantileMean:
    """The quantile within each replication, and Student's interval of its mean [unit of values].

    `replications` holds the observations of each, of any number.  Runs that are short make the
    quantile itself biased, by about 1/n of a run's n observations; no number of replications mends
    that.  Raises ValueError as `quantile` and `mean_interval` do.
    """
    found = [quantile(values, probability) for values in replications]
    came = [value for value in found if value is not None]
    missing = len(found) - len(came)
    if not found:
        raise ValueError("a quantile needs at least one replication")
    return QuantileMean(None if missing else mean_interval(came, level), missing)


def order_interval(
    values: Sequence[float | None], probability: float, level: float = 0.95
) -> OrderInterval:
    """A quantile of independent observations with its interval of order statistics.

    The observations must not share a run; None or inf is one that never came and is larger than all
    others.  Exact for continuous distributions, more often right than `level` for others.  Raises
    ValueError for NaN and for a probability or level not between 0 and 1.
    """
    ordered = in_order(values)
    needed = needed_observations(probability, level)
    value = quantile(values, probability)
    ranks = order_ranks(len(ordered), probability, level)
    if ranks is None:
        return OrderInterval(len(ordered), value, None, None, needed, None)
    first, last = ranks
    low, high = ordered[first - 1], ordered[last - 1]
    reached = _level_of(len(ordered), probability, first, last)
    return OrderInterval(
        len(ordered),
        value,
        low if math.isfinite(low) else None,
        high if math.isfinite(high) else None,
        needed,
        reached,
    )


def needed_observations(probability: float, level: float = 0.95) -> int:
    """The least n for which smallest and largest of n observations hold the quantile often enough.

    That is 1 - p^n - (1 - p)^n >= level: 6 for the median, 59 for p95, 299 for p99 at 95 %.  Raises
    ValueError for a probability or level not between 0 and 1.
    """
    checked_level(level)
    if not 0 < probability < 1:
        raise ValueError(f"probability ({probability}) must be between 0 and 1")
    rare = max(probability, 1 - probability)
    count = max(2, math.floor(math.log1p(-level) / math.log(rare)))  # too few, or just enough
    while 1 - probability**count - (1 - probability) ** count < level:
        count += 1
    return count


def order_ranks(count: int, probability: float, level: float = 0.95) -> tuple[int, int] | None:
    """Ranks (from 1) of the two observations, as close together as `level` allows.

    Of equally close ones those whose tails are most alike.  None if there are too few observations.
    """
    if count < needed_observations(probability, level):
        return None
    at_most = [binomial_at_most(k, count, probability) for k in range(-1, count)]
    best: tuple[int, float, int, int] | None = None
    last = 1
    for first in range(1, count):
        last = max(last, first + 1)
        while last <= count and at_most[last] - at_most[first] < level:
            last += 1
        if last > count:
            break
        uneven = abs(at_most[first] - (1 - at_most[last]))
        best = min(best or (count, 2.0, 1, count), (last - first, uneven, first, last))
    return None if best is None else best[2:]


def _level_of(count: int, probability: float, first: int, last: int) -> float:
    upper = binomial_at_most(last - 1, count, probability)
    return upper - binomial_at_most(first - 1, count, probability)
