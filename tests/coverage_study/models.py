"""Models whose answers are known: values with a known mean, quantile, share or difference."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.sample_size import Kind

Floats = NDArray[np.float64]
Z95 = 1.6448536269514722  # of the normal distribution: a lognormal is given by median and p95
ARRIVALS, SERVICE = 0.5, 1.0  # rates of the queue
QUEUE_WAIT = ARRIVALS / (SERVICE * (SERVICE - ARRIVALS))  # mean wait in the queue of M/M/1


@dataclass(frozen=True)
class Spread:
    """A distribution of one value with its mean."""

    kind: Kind
    name: str
    mean: float
    draw: Callable[[np.random.Generator, tuple[int, ...]], Floats]


def lognormal(
    generator: np.random.Generator, median: float, p95: float, shape: tuple[int, ...]
) -> Floats:
    return median * np.exp(math.log(p95 / median) / Z95 * generator.standard_normal(shape))


def lognormal_mean(median: float, p95: float) -> float:
    return median * math.exp((math.log(p95 / median) / Z95) ** 2 / 2)


def lognormal_sum(kind: Kind, name: str, *parts: tuple[float, float]) -> Spread:
    """A sum of independent lognormals, each by its median and p95."""
    return Spread(
        kind,
        name,
        math.fsum(lognormal_mean(*part) for part in parts),
        lambda generator, shape: sum(lognormal(generator, *part, shape) for part in parts),
    )


def tail(kind: Kind, probability: float) -> Spread:
    """10, and with a probability a lognormal of median 1100 more (`contention`, ms)."""
    return Spread(
        kind,
        f"mixture p={probability:g}",
        10 + probability * lognormal_mean(1100, 2800),
        lambda generator, shape: (
            10 + (generator.random(shape) < probability) * lognormal(generator, 1100, 2800, shape)
        ),
    )


# Medians and p95 as in the profiles: create_process + loader + cygwin_init, [ms]; a wake [us].
NORMAL = Spread(Kind.EVEN, "normal", 10.0, lambda g, shape: g.normal(10, 3, shape))
CREATION = lognormal_sum(Kind.SKEWED, "creation 2001", (4, 9), (2.7, 6), (3, 8))
TAIL = tail(Kind.TAIL, 0.3)
SPREADS = (
    NORMAL,
    CREATION,
    lognormal_sum(Kind.SKEWED, "creation W11", (2, 6), (1, 3)),
    lognormal_sum(Kind.VERY_SKEWED, "one init", (3, 8)),
    lognormal_sum(Kind.VERY_SKEWED, "one call 9x", (4, 15)),
    lognormal_sum(Kind.VERY_SKEWED, "one wake", (5, 20)),
    TAIL,
    tail(Kind.TAIL, 0.5),
    tail(Kind.RARE_TAIL, 0.1),
)


def queue_waits(generator: np.random.Generator, runs: int, customers: int) -> Floats:
    """Waits in the queue of M/M/1 from empty, (runs, customers), by Lindley's recursion."""
    steps = generator.exponential(1 / SERVICE, (runs, customers))
    steps -= generator.exponential(1 / ARRIVALS, (runs, customers))
    steps[:, 1:] = steps[:, :-1].copy()
    steps[:, 0] = 0.0
    walk = np.cumsum(steps, axis=1)
    return walk - np.minimum.accumulate(walk, axis=1)


def weibull_quantile(shape: float, probability: float) -> float:
    return (-math.log1p(-probability)) ** (1 / shape)


def pairs(generator: np.random.Generator, repeats: int, count: int) -> tuple[Floats, Floats]:
    """Two designs on common random numbers, normal, correlated by 0.9: means 10 and 12."""
    common = generator.standard_normal((repeats, count))
    own = generator.standard_normal((2, repeats, count))
    a, b = (math.sqrt(0.9) * common + math.sqrt(0.1) * part for part in own)
    return 10 + 3 * a, 12 + 3 * b
