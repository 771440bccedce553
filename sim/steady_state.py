"""One long run in steady state: how much of its beginning to leave out, and an interval from it.

The warm-up is cut by MSER-5 (K. P. White, M. J. Cobb and S. C. Spratt, A comparison of five
steady-state truncation heuristics for simulation, Winter Simulation Conference 2000).  The rest is
cut into batches whose means are treated as independent (Law, Simulation Modeling and Analysis, 5th
ed., 9.5.3); 10 to 30 of them (B. Schmeiser, Batch size effects in the analysis of simulation
output, Operations Research 30, 1982).  That they are independent enough is checked, and without it
there is no interval: then the run is too short.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.critical_values import normal
from sim.estimators import Interval, mean_interval

Floats = NDArray[np.float64]
GROUP = 5  # observations behind one value of MSER-5
FEWEST_BATCHES = 10
BATCHES = 20
_CORRELATED = 0.95  # level of the one-sided test of the batch means -- assumed
_TAIL_GROUPS = 5  # at the very end the statistic rests on too few groups to be believed


class WarmUp(NamedTuple):
    """The beginning of a run that is not yet steady."""

    observations: int
    cut: int | None  # how many to leave out; None if the run is too short to tell

    def steady(self, values: Sequence[float] | Floats) -> Floats:
        """The rest of the run. Raises ValueError if the run is too short."""
        if self.cut is None:
            raise ValueError(f"run ({self.observations} observations) is too short for its warm-up")
        return np.asarray(values, dtype=np.float64)[self.cut :]


class BatchMeans(NamedTuple):
    """The mean of one long run, and what its interval rests on."""

    observations: int  # those that the batches hold
    batches: int
    batch_size: int
    mean: float
    lag1: float  # correlation of neighbouring batch means
    allowed_lag1: float  # what independent ones would exceed in 1 of 20 cases
    interval: Interval | None  # over the batches; None if they are correlated

    @property
    def long_enough(self) -> bool:
        """Whether the batch means may pass for independent."""
        return self.lag1 <= self.allowed_lag1


def mser5(values: Sequence[float] | Floats) -> WarmUp:
    """Where the warm-up of a run ends: the cut that makes the mean of the rest most certain.

    Over means of 5 neighbours, least squared error of the mean of what is left, divided by the
    square of how many are left.  A cut beyond half of the run says that the run is too short.
    Raises ValueError for fewer than 50 observations, or one that is not finite.
    """
    series = _finite(values)
    groups = len(series) // GROUP
    if groups < 2 * _TAIL_GROUPS:
        least = 2 * _TAIL_GROUPS * GROUP
        raise ValueError(f"observations ({len(series)}) must be at least {least} for a warm-up")
    means = series[: groups * GROUP].reshape(groups, GROUP).mean(axis=1)
    means = means - means.mean()  # else the squares cancel
    left = np.arange(groups, 0, -1)
    sums, squares = (np.cumsum(part[::-1])[::-1] for part in (means, means**2))
    errors = (squares - sums**2 / left) / left**2
    cut = int(np.argmin(errors[: groups - _TAIL_GROUPS + 1]))
    return WarmUp(len(series), cut * GROUP if cut <= groups // 2 else None)


def batch_means(
    values: Sequence[float] | Floats, batches: int = BATCHES, level: float = 0.95
) -> BatchMeans:
    """The mean of a steady run with Student's interval over the means of its batches.

    What does not fill the last batch is left out at the beginning.  The batch means are tested for
    correlation of neighbours by von Neumann's ratio, whose mean is 0 and whose variance is
    (k - 2) / (k^2 - 1) for k independent ones (G. S. Fishman, Grouping observations in digital
    simulation, Management Science 24, 1978).  Raises ValueError for fewer than 10 batches, fewer
    than two observations in a batch, or an observation that is not finite.
    """
    series = _finite(values)
    if batches < FEWEST_BATCHES:
        raise ValueError(f"batches ({batches}) must be at least {FEWEST_BATCHES}")
    size = len(series) // batches
    if size < 2:
        raise ValueError(f"observations ({len(series)}) must be at least {2 * batches}")
    used = batches * size
    means = series[len(series) - used :].reshape(batches, size).mean(axis=1)
    allowed = normal(_CORRELATED) * math.sqrt((batches - 2) / (batches**2 - 1))
    lag1 = _neighbours(means)
    whole = mean_interval(means.tolist(), level)
    return BatchMeans(
        used, batches, size, whole.mean, lag1, allowed, whole if lag1 <= allowed else None
    )


def _neighbours(means: Floats) -> float:
    """1 - von Neumann's ratio / 2; 0 if all are equal."""
    spread = float(((means - means.mean()) ** 2).sum())
    if spread == 0:
        return 0.0
    return 1 - float((np.diff(means) ** 2).sum()) / (2 * spread)


def _finite(values: Sequence[float] | Floats) -> Floats:
    series = np.asarray(values, dtype=np.float64)
    if not np.isfinite(series).all():
        raise ValueError("observations of a steady run must be finite; count censored ones apart")
    return series
