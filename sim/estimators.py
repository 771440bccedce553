"""Estimators: from measures of many replications to a number with its interval.

Within one run, observations are a whole population (every creation of the run), so quantiles carry
no interval; between replications a mean carries Student's.  A censored observation (never came) is
`None` or inf: it counts, it takes part in quantiles as larger than all others, and it forbids a
mean.  Nothing here is ever NaN: what cannot be said is `None`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from sim.critical_values import checked_level, normal, student_t

QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


class Interval(NamedTuple):
    """A mean over replications with its confidence interval."""

    replications: int
    mean: float
    low: float | None  # None with a single replication
    high: float | None

    def limits(self) -> list[float] | None:
        """`[low, high]`, or None with a single replication (the form of `ci95`)."""
        return None if self.low is None or self.high is None else [self.low, self.high]


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean of independent replications with Student's t interval, in the unit of the values.

    Raises ValueError if there is no value, one is not finite (count censored runs apart), or
    `level` is not between 0 and 1.
    """
    checked_level(level)
    if not values:
        raise ValueError("a mean needs at least one value")
    for value in values:
        if not math.isfinite(value):
            raise ValueError(f"value ({value}) must be finite; count censored runs apart")
    count = len(values)
    mean = math.fsum(values) / count
    if count < 2:
        return Interval(count, mean, None, None)
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half = student_t(count - 1, 0.5 + level / 2) * math.sqrt(variance / count)
    return Interval(count, mean, mean - half, mean + half)


class Share(NamedTuple):
    """A proportion of independent replications with its confidence interval."""

    replications: int
    share: float
    low: float
    high: float


def proportion_interval(hits: int, replications: int, level: float = 0.95) -> Share:
    """Share of replications in which something happened, with Wilson's score interval.

    It stays within 0..1 and has a width even where nothing or everything happened.  Raises
    ValueError if there is no replication, or more hits than there are.
    """
    checked_level(level)
    if not 0 <= hits <= replications or replications < 1:
        raise ValueError(f"hits ({hits}) must be from 0 to the replications ({replications}, > 0)")
    z = normal(0.5 + level / 2)
    share, weight = hits / replications, z * z / replications
    middle = (share + weight / 2) / (1 + weight)
    spread = share * (1 - share) / replications + weight / (4 * replications)
    half = z * math.sqrt(spread) / (1 + weight)
    low = 0.0 if hits == 0 else middle - half
    high = 1.0 if hits == replications else middle + half
    return Share(replications, share, low, high)


def paired_difference(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Interval:
    """Mean of `b - a`, pair by pair, with Student's t interval of the differences.

    Pairs are replications that met the same random numbers.  Raises ValueError as `mean_interval`
    does, and for sequences of different lengths.
    """
    if len(a) != len(b):
        raise ValueError(f"pairs need equal numbers of values ({len(a)} and {len(b)})")
    return mean_interval([second - first for first, second in zip(a, b, strict=True)], level)


def quantile(values: Sequence[float | None], probability: float) -> float | None:
    """Quantile of the observations of one replication, type 7 (numpy's and R's default).

    Linear between the order statistics around (n - 1) * probability.  None if there is no
    observation, or if a censored one (None or inf) takes part in the answer.  Raises ValueError for
    NaN and for a probability outside 0..1.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability ({probability}) must be from 0 to 1")
    return _of_sorted(in_order(values), probability)


def summary(values_us: Sequence[float | None]) -> dict[str, float | int | None]:
    """`{"n", "mean", "p50", "p95", "p99", "max", "censored"}` of one replication [us].

    `n` counts all observations, the censored ones (None or inf) too.  `mean` and `max` are None if
    any is censored, a quantile if it falls on one; all but the counts are None if there are none.
    """
    ordered = in_order(values_us)
    censored = sum(1 for value in ordered if math.isinf(value))
    whole = bool(ordered) and not censored
    result: dict[str, float | int | None] = {
        "n": len(ordered),
        "mean": math.fsum(ordered) / len(ordered) if whole else None,
    }
    for name, probability in QUANTILES.items():
        result[name] = _of_sorted(ordered, probability)
    return result | {"max": ordered[-1] if whole else None, "censored": censored}


def in_order(values: Sequence[float | None]) -> list[float]:
    """The observations from small to large, those that never came (None or inf) as inf at the end.

    Raises ValueError for NaN and for minus infinity.
    """
    numbers = [math.inf if value is None else float(value) for value in values]
    for value in numbers:
        if math.isnan(value) or value == -math.inf:
            raise ValueError(f"observation ({value}) must be a number, or None if it never came")
    return sorted(numbers)


def _of_sorted(ordered: list[float], probability: float) -> float | None:
    if not ordered:
        return None
    position = (len(ordered) - 1) * probability
    below = math.floor(position)
    part = position - below
    low = ordered[below]
    if part == 0:
        return low if math.isfinite(low) else None
    high = ordered[below + 1]
    return low + part * (high - low) if math.isfinite(high) else None
