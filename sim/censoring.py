"""Blocked is not slow: durations that came, durations that were cut off, and waits without an end.

* *came*: the duration is known.
* *cut*: the run ended first; the duration is longer than what was seen of it.  Product-limit
  estimation (E. L. Kaplan and P. Meier, J. Am. Stat. Assoc. 53, 1958) takes that into account where
  the cut is independent of the duration: a horizon set in advance, and starts that do not depend on
  earlier durations.
* *blocked*: nothing that can still happen ends the wait.  It has no duration; it is a share of all,
  with Wilson's interval, and takes part in no quantile.

An interval supposes independent observations: one from each replication, or creations that do not
wait for each other.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.critical_values import checked_level
from sim.estimators import QUANTILES, Share, proportion_interval
from sim.quantile_intervals import needed_observations

Floats = NDArray[np.float64]


class Limits(NamedTuple):
    """A quantile of durations that may be cut; what was not reached is None."""

    value: float | None
    low: float | None  # None also if there are too few durations
    high: float | None
    needed: int  # the least number of durations for limits

    def limits(self) -> list[float] | None:
        """`[low, high]`, or None if either was not reached."""
        return None if self.low is None or self.high is None else [self.low, self.high]


@dataclass(frozen=True, eq=False)
class Survival:
    """How many last longer than a time, estimated. Every field is *output*.

    times_us: (k,) float64, every distinct time seen, ascending [us]
    longer, low, high: (k,) float64, share that lasts longer, and its interval time by time
    """

    came: int
    cut: int
    level: float
    times_us: Floats
    longer: Floats
    low: Floats
    high: Floats

    def quantile_us(self, probability: float) -> Limits:
        """The time within which this share has come [us], with its interval.

        None where the curve does not fall so far: the run was too short to tell, which is no number
        at all.  The interval is where the limits of the curve cross (R. Brookmeyer and J. Crowley,
        Biometrics 38, 1982); it needs as many durations as order statistics would need if none was
        cut.  Raises ValueError for a probability not between 0 and 1.
        """
        needed = needed_observations(probability, self.level)
        left = 1 - probability
        curves = (self.longer, self.low, self.high)
        value, low, high = (self._first_below(curve, left) for curve in curves)
        if self.came + self.cut < needed:
            low = high = None
        return Limits(value, low, high, needed)

    def _first_below(self, curve: Floats, left: float) -> float | None:
        below = np.flatnonzero(curve <= left + 1e-12)  # 1 - 0.95 is not 0.05
        return float(self.times_us[below[0]]) if len(below) else None


def survival(
    came_us: Sequence[float], cut_us: Sequence[float] = (), level: float = 0.95
) -> Survival:
    """The product-limit curve from durations that came and those that were cut off [us].

    `cut_us` holds how long the cut ones had lasted.  Limits by Greenwood's variance of
    log(-log S) (scipy.stats).  Raises ValueError if there is no duration at all, or one is negative
    or not finite: who is blocked for ever is not given here.
    """
    checked_level(level)
    for value in (*came_us, *cut_us):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"duration ({value}) must be finite and not negative")
    if not came_us and not cut_us:
        raise ValueError("a survival curve needs at least one duration")
    from scipy.stats import CensoredData, ecdf

    found = ecdf(CensoredData(uncensored=list(came_us), right=list(cut_us)))
    with warnings.catch_warnings():  # where the curve is 0 or 1 there are no limits: filled below
        warnings.simplefilter("ignore", RuntimeWarning)
        both = found.sf.confidence_interval(confidence_level=level, method="log-log")
    longer = np.asarray(found.sf.probabilities, dtype=np.float64)
    low = np.asarray(both.low.probabilities, dtype=np.float64).copy()
    high = np.asarray(both.high.probabilities, dtype=np.float64).copy()
    low[longer == 1] = high[longer == 1] = 1.0
    low[longer == 0] = 0.0
    if longer[-1] == 0:  # the last of all came: how long others may last cannot be told
        high[-1] = high[-2] if len(high) > 1 else 1.0
    return Survival(
        len(came_us),
        len(cut_us),
        level,
        np.asarray(found.sf.quantiles, dtype=np.float64),
        longer,
        low,
        high,
    )


@dataclass(frozen=True)
class Durations:
    """Durations with what is not one kept apart. Every field is *output*."""

    came: int
    cut: int
    blocked: Share | None  # of all; None if there are none
    quantiles_us: dict[str, Limits]  # p50, p95, p99 of those that are not blocked


def durations(
    came_us: Sequence[float], cut_us: Sequence[float], blocked: int, level: float = 0.95
) -> Durations:
    """Quantiles of what was not blocked, and the share that was.

    No mean: what was cut has none.  Raises ValueError as `survival` does for bad durations, and for
    a negative number of blocked ones.
    """
    if blocked < 0:
        raise ValueError(f"blocked ({blocked}) must not be negative")
    seen = len(came_us) + len(cut_us)
    quantiles = {
        name: Limits(None, None, None, needed_observations(p, level))
        for name, p in QUANTILES.items()
    }
    if seen:
        curve = survival(came_us, cut_us, level)
        quantiles = {name: curve.quantile_us(p) for name, p in QUANTILES.items()}
    share = proportion_interval(blocked, seen + blocked, level) if seen + blocked else None
    return Durations(len(came_us), len(cut_us), share, quantiles)
