"""Two designs on the same random numbers: ratios, several comparisons at once, what pairing gains.

Pairs are replications (or creations) that met the same random numbers; `paired_difference` stands
with the means in `sim.estimators`.  What only one of two runs reached is counted as unmatched and
takes part in nothing.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from sim.critical_values import checked_level, student_t
from sim.estimators import Interval, mean_interval, paired_difference

Key = TypeVar("Key", bound=Hashable)


class Matched(NamedTuple):
    """What both runs reached, pair by pair, and how many only one of them did."""

    a: list[float]
    b: list[float]
    unmatched: int


class Ratio(NamedTuple):
    """Mean of b over mean of a with its interval."""

    replications: int
    ratio: float
    low: float | None  # None with a single pair, or if the mean of a may as well be 0
    high: float | None

    def limits(self) -> list[float] | None:
        """`[low, high]`, or None where there is no interval."""
        return None if self.low is None or self.high is None else [self.low, self.high]


class Pairing(NamedTuple):
    """What common random numbers gained."""

    replications: int
    correlation: float | None  # of the pairs; None if one side is constant
    paired_variance: float  # of b - a
    independent_variance: float  # what it would be with independent runs: var a + var b
    reduction: float | None  # 1 - paired / independent, below 0 where pairing harms; None for 0/0


def matched(a: Mapping[Key, float | None], b: Mapping[Key, float | None]) -> Matched:
    """The values that both have under the same key, in the order of `a`.

    None or inf (never came) and keys of one side only make no pair; each value that came and has no
    partner counts once in `unmatched`.
    """
    here = {key: value for key, value in a.items() if _came(value)}
    there = {key: value for key, value in b.items() if _came(value)}
    both = [key for key in here if key in there]
    unmatched = len(here) + len(there) - 2 * len(both)
    return Matched([here[k] or 0.0 for k in both], [there[k] or 0.0 for k in both], unmatched)


def paired_ratio(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Ratio:
    """Mean of `b` over mean of `a` with Fieller's interval.

    Fieller's, since it keeps the correlation that common random numbers give, is exact where the
    pairs are normal, needs no logarithm of a value that may be 0, and owns up where the mean of `a`
    is not safely away from 0 (no limits), which the delta method hides.  Source: E. C. Fieller,
    Some problems in interval estimation, J. R. Stat. Soc. B 16 (1954).  Raises ValueError for
    different lengths, no value, one that is not finite, or a mean of `a` that is 0.
    """
    checked_level(level)
    if len(a) != len(b):
        raise ValueError(f"pairs need equal numbers of values ({len(a)} and {len(b)})")
    count, mean_a, mean_b = len(a), mean_interval(a).mean, mean_interval(b).mean
    if mean_a == 0:
        raise ValueError("mean of a (0) must not be 0 for a ratio")
    ratio = mean_b / mean_a
    if count < 2:
        return Ratio(count, ratio, None, None)
    vary_a, vary_b, together = (s / count for s in _moments(a, b))
    t = student_t(count - 1, 0.5 + level / 2)
    scale = (t / mean_a) ** 2
    if scale * vary_a >= 1:
        return Ratio(count, ratio, None, None)
    spread = vary_b - 2 * ratio * together + ratio**2 * vary_a
    spread -= scale * (vary_a * vary_b - together**2)
    half = math.sqrt(max(spread * scale, 0.0))
    middle, width = ratio - scale * together, 1 - scale * vary_a
    return Ratio(count, ratio, (middle - half) / width, (middle + half) / width)


def bonferroni(level: float, comparisons: int) -> float:
    """The level of each of several intervals so that all hold together with at least `level`.

    Raises ValueError for a level not between 0 and 1 or no comparison.
    """
    checked_level(level)
    if comparisons < 1:
        raise ValueError(f"comparisons ({comparisons}) must be at least 1")
    return 1 - (1 - level) / comparisons


def several_differences(
    base: Sequence[float], others: Mapping[str, Sequence[float]], level: float = 0.95
) -> dict[str, Interval]:
    """Every other design minus `base`, pair by pair; all intervals hold together with `level`.

    Bonferroni (Law, Simulation Modeling and Analysis, 5th ed., 10.3).  Raises ValueError as
    `paired_difference` does, and for no other design.
    """
    each = bonferroni(level, len(others))
    return {name: paired_difference(base, values, each) for name, values in others.items()}


def pairing(a: Sequence[float], b: Sequence[float]) -> Pairing:
    """The variance of `b - a` in pairs beside that of independent runs [unit of values, squared].

    Raises ValueError for different lengths, fewer than two pairs, or a value that is not finite.
    """
    if len(a) != len(b):
        raise ValueError(f"pairs need equal numbers of values ({len(a)} and {len(b)})")
    if len(a) < 2:
        raise ValueError(f"pairs ({len(a)}) must be at least 2 for a variance")
    vary_a, vary_b, together = _moments(a, b)
    independent = vary_a + vary_b
    paired = max(independent - 2 * together, 0.0)
    correlation = None
    if vary_a > 0 and vary_b > 0:
        correlation = together / math.sqrt(vary_a * vary_b)
    reduction = 1 - paired / independent if independent > 0 else None
    return Pairing(len(a), correlation, paired, independent, reduction)


def _moments(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    """Variance of a, of b, and their covariance, each over n - 1."""
    mean_a, mean_b = mean_interval(a).mean, mean_interval(b).mean
    free = len(a) - 1
    return (
        math.fsum((x - mean_a) ** 2 for x in a) / free,
        math.fsum((y - mean_b) ** 2 for y in b) / free,
        math.fsum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True)) / free,
    )


def _came(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
