"""Does a quantity of one run grow: its slope over time, with an interval from batches.

Neighbouring observations of one run are correlated, so a straight line through all of them would
be far too sure of itself.  The line goes through the means of batches instead, as in
`sim.steady_state`, with Student's interval of its slope (Law, Simulation Modeling and Analysis, 5th
ed., 9.5.3 for the batches; ordinary least squares).  It supposes batches that are long against the
correlation; a slope that a run of twice the length still has is one to believe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.critical_values import checked_level, student_t
from sim.steady_state import FEWEST_BATCHES

Floats = NDArray[np.float64]


class Trend(NamedTuple):
    """Slope of a quantity over time [unit of the values / unit of the times]."""

    batches: int
    slope: float
    low: float
    high: float

    @property
    def grows(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.low > 0


def trend(
    times: Sequence[float] | Floats,
    values: Sequence[float] | Floats,
    batches: int = FEWEST_BATCHES,
    level: float = 0.95,
) -> Trend:
    """The slope of `values` over `times`, both (n,), in the order of time, by means of batches.

    What does not fill the last batch is left out at the beginning.  Raises ValueError for fewer
    than 10 batches, fewer than two observations in a batch, different lengths, times that do not go
    on from batch to batch, or a number that is not finite.
    """
    checked_level(level)
    xs, ys = (np.asarray(part, dtype=np.float64) for part in (times, values))
    if len(xs) != len(ys):
        raise ValueError(f"times ({len(xs)}) and values ({len(ys)}) must be as many")
    if not (np.isfinite(xs).all() and np.isfinite(ys).all()):
        raise ValueError("times and values of a trend must be finite")
    if batches < FEWEST_BATCHES:
        raise ValueError(f"batches ({batches}) must be at least {FEWEST_BATCHES}")
    size = len(xs) // batches
    if size < 2:
        raise ValueError(f"observations ({len(xs)}) must be at least {2 * batches}")
    used = batches * size
    x, y = (part[len(part) - used :].reshape(batches, size).mean(axis=1) for part in (xs, ys))
    if not (np.diff(x) > 0).all():
        raise ValueError("times of a trend must go on from batch to batch")
    return _line(x, y, level)


def _line(x: Floats, y: Floats, level: float) -> Trend:
    """Least squares; the interval of the slope has two degrees of freedom less than points."""
    count = len(x)
    x, y = x - x.mean(), y - y.mean()
    spread = float((x**2).sum())
    slope = float((x * y).sum()) / spread
    left = float(((y - slope * x) ** 2).sum()) / (count - 2)
    half = student_t(count - 2, 0.5 + level / 2) * math.sqrt(left / spread)
    return Trend(count, slope, slope - half, slope + half)
