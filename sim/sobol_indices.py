"""Sobol indices: which share of a measure's variance comes from which factor.

The first-order index is the share that goes if the factor is known; the total index is the share
that stays if all others are known.  Meant for measures of one creation, which cost so little that
thousands of points can be run.  Source: A. Saltelli and others, Variance based sensitivity
analysis, Computer Physics Communications 181 (2010); B. Efron, The jackknife, the bootstrap and
other resampling plans (1982), for the intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.critical_values import checked_level
from sim.design import Factor
from sim.streams import Replication

RESAMPLES = 500


class Index(NamedTuple):
    """A share of the variance with its bootstrap interval."""

    value: float
    low: float
    high: float


class SobolIndex(NamedTuple):
    """Both indices of one factor. Estimates may lie a little outside 0..1."""

    factor: str
    first: Index
    total: Index


def sobol_indices(
    factors: Sequence[Factor], values: Sequence[float], seed: int, level: float = 0.95
) -> list[SobolIndex]:
    """The indices of each factor from the values at `saltelli_points`, largest total first.

    Percentile intervals from 500 resamples of the base points, drawn by `seed` (scipy's own
    bootstrap takes no seed).  Raises ValueError if the number of values does not fit, one is not
    finite (a measure that may never come has no variance), or all are equal.
    """
    checked_level(level)
    k = len(factors)
    count, rest = divmod(len(values), k + 2)
    measured = np.asarray(values, dtype=np.float64)
    if rest or count < 2 or count & (count - 1):
        raise ValueError(f"values ({len(values)}) must be {k + 2} times a power of two")
    if not np.isfinite(measured).all():
        raise ValueError("values must be finite; what may never come has no variance")
    if (measured == measured[0]).all():
        raise ValueError(f"values must not all be equal ({measured[0]})")
    blocks = measured.reshape(k + 2, 1, count)
    first, total = (index[0] for index in _indices(blocks))
    stream = Replication(seed, 0).fresh("sim/sobol_indices/bootstrap")
    chosen = stream.integers(count, size=(RESAMPLES, count))
    both = _indices(blocks[:, 0][:, chosen])
    tails = (0.5 - level / 2, 0.5 + level / 2)
    (first_low, first_high), (total_low, total_high) = (np.quantile(b, tails, axis=0) for b in both)
    rows = [
        SobolIndex(
            factor.name,
            Index(float(first[i]), float(first_low[i]), float(first_high[i])),
            Index(float(total[i]), float(total_low[i]), float(total_high[i])),
        )
        for i, factor in enumerate(factors)
    ]
    return sorted(rows, key=lambda row: -row.total.value)


def _indices(blocks: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First and total indices, each (sets, k), of blocks (2 + k, sets, count)."""
    from scipy import stats

    found = stats.sobol_indices(
        func={"f_A": blocks[0], "f_B": blocks[1], "f_AB": blocks[2:]}, n=blocks.shape[2]
    )
    sets = blocks.shape[1]
    return found.first_order.reshape(sets, -1), found.total_order.reshape(sets, -1)
