"""Quantiles and probabilities of the distributions that stand behind intervals.

From scipy.special: scipy.stats takes long to import, and a first table should not wait for it.
"""

from __future__ import annotations


def checked_level(level: float) -> float:
    """The confidence level. Raises ValueError if it is not between 0 and 1."""
    if not 0 < level < 1:
        raise ValueError(f"level ({level}) must be between 0 and 1")
    return level


def student_t(freedom: int, probability: float) -> float:
    """The quantile of Student's t with `freedom` degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def normal(probability: float) -> float:
    """The quantile of the normal distribution."""
    from scipy.special import ndtri

    return float(ndtri(probability))


def binomial_at_most(hits: int, trials: int, probability: float) -> float:
    """Probability of at most `hits` hits (0 below 0) in independent trials."""
    if hits < 0:
        return 0.0
    from scipy.special import bdtr

    return float(bdtr(min(hits, trials), trials, probability))
