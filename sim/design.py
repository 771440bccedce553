"""Design points of an experiment: which values the factors have in which run.

A factor has levels or a range; a design is a list of points, each a plain dict from the factor's
name to its value, in a fixed order.  The same factors and the same seed give the same points.  An
assumed parameter is a range from half to twice its value on a logarithmic scale (`about`).
Sources: Law, Simulation Modeling and Analysis, 5th ed., ch. 12; M. D. McKay and others, A
comparison of three methods, Technometrics 21 (1979), for Latin hypercubes; I. M. Sobol' (1967) for
the points that bear his name.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.streams import Replication

Level = float | int | str | bool
Point = dict[str, Level]
MOST_POINTS = 100_000  # a larger design is a mistake -- assumed


@dataclass(frozen=True)
class Factor:
    """What is varied: either levels in their order, or a range from `low` to `high`.

    Raises ValueError for both or neither, levels that are fewer than two or not distinct, a range
    that is empty or not finite, and a logarithmic one that does not lie above 0.
    """

    name: str
    levels: tuple[Level, ...] = ()
    low: float | None = None
    high: float | None = None
    log: bool = False  # the range is even in its logarithm

    def __post_init__(self) -> None:
        if self.low is None or self.high is None:
            if self.low is not None or self.high is not None or not self.levels:
                raise ValueError(f"factor {self.name} needs levels, or low and high")
            if len(set(self.levels)) < max(2, len(self.levels)):
                raise ValueError(f"levels of {self.name} {self.levels} must be two or more, unlike")
            return
        if self.levels:
            raise ValueError(f"factor {self.name} has levels and a range; it must have one of them")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"range of {self.name} ({self.low} to {self.high}) must go up")
        if self.log and self.low <= 0:
            raise ValueError(f"low of {self.name} ({self.low}) must be above 0 on a log scale")

    def at(self, share: float) -> Level:
        """The value at a share (0 to 1) of the way from the first level, or low, to the last."""
        if self.low is None or self.high is None:
            return self.levels[min(int(share * len(self.levels)), len(self.levels) - 1)]
        if share in (0, 1):
            return self.low if share == 0 else self.high
        if self.log:
            return float(self.low * (self.high / self.low) ** share)
        return float(self.low + share * (self.high - self.low))

    def ends(self) -> tuple[Level, Level]:
        """The first and the last value."""
        return self.at(0), self.at(1)

    def middle(self) -> Level:
        """The middle of the range on its scale; of levels the first, which is the usual one."""
        return self.levels[0] if self.levels else self.at(0.5)


def about(name: str, value: float, times: float = 2.0) -> Factor:
    """An assumed parameter: from value / times to value * times, on a logarithmic scale.

    Raises ValueError for a value that is not above 0 (there is nothing to multiply).
    """
    if value <= 0 or times <= 1:
        raise ValueError(f"{name} ({value}) must be above 0, and times ({times}) above 1")
    return Factor(name, low=value / times, high=value * times, log=True)


def full_factorial(factors: Sequence[Factor]) -> list[Point]:
    """Every combination; a range counts as its two ends. The last factor changes fastest."""
    return _combinations(factors, [f.levels or f.ends() for f in factors])


def two_level(factors: Sequence[Factor]) -> list[Point]:
    """2^k: every combination of the first and the last value of each factor."""
    return _combinations(factors, [f.ends() for f in factors])


def one_at_a_time(factors: Sequence[Factor]) -> list[Point]:
    """The base point, where each factor is in the middle, then each other value of each factor.

    A range has its two ends, levels all but the first, which is the base.
    """
    _check(factors)
    base: Point = {f.name: f.middle() for f in factors}
    points = [base]
    for factor in factors:
        points += [base | {factor.name: value} for value in factor.levels[1:] or factor.ends()]
    return points


def latin_hypercube(factors: Sequence[Factor], count: int, seed: int) -> list[Point]:
    """`count` points, each of as many equal slices of every factor met once, drawn by `seed`."""
    _check(factors, count)
    from scipy.stats import qmc

    stream = Replication(seed, 0).fresh("sim/design/latin hypercube")
    return _placed(factors, qmc.LatinHypercube(len(factors), seed=stream).random(count))


def sobol_points(factors: Sequence[Factor], count: int, seed: int) -> list[Point]:
    """`count` points of a scrambled Sobol sequence.

    Raises ValueError if `count` is no power of two, since only then the points are balanced.
    """
    _check(factors, count)
    return _placed(factors, _sobol(len(factors), count, seed))


def saltelli_points(factors: Sequence[Factor], count: int, seed: int) -> list[Point]:
    """The count * (k + 2) points from which `sim.sobol_indices` finds the indices of k factors.

    First the `count` points A, then B, then for each factor A with that factor from B (A. Saltelli
    and others, Computer Physics Communications 181, 2010).  Raises ValueError as `sobol_points`.
    """
    k = len(factors)
    _check(factors, count * (k + 2))
    both = _sobol(2 * k, count, seed)
    a, b = both[:, :k], both[:, k:]
    blocks = [a, b]
    for i in range(k):
        mixed = a.copy()
        mixed[:, i] = b[:, i]
        blocks.append(mixed)
    return _placed(factors, np.concatenate(blocks))


def _sobol(dimensions: int, count: int, seed: int) -> NDArray[np.float64]:
    if count < 2 or count & (count - 1):
        below = 1 << max(count.bit_length() - 1, 1)
        raise ValueError(f"count ({count}) must be a power of two, as {below} or {2 * below}")
    from scipy.stats import qmc

    stream = Replication(seed, 0).fresh("sim/design/sobol")
    points: NDArray[np.float64] = qmc.Sobol(dimensions, seed=stream).random(count)
    return points


def _placed(factors: Sequence[Factor], shares: NDArray[np.float64]) -> list[Point]:
    return [
        {f.name: f.at(share) for f, share in zip(factors, row, strict=True)}
        for row in shares.tolist()
    ]


def _combinations(factors: Sequence[Factor], values: Sequence[tuple[Level, ...]]) -> list[Point]:
    _check(factors, math.prod(len(each) for each in values))
    names = [f.name for f in factors]
    return [dict(zip(names, row, strict=True)) for row in itertools.product(*values)]


def _check(factors: Sequence[Factor], count: int = 1) -> None:
    """Raise ValueError for no factor, two of one name, or a number of points that cannot be."""
    if not factors:
        raise ValueError("a design needs at least one factor")
    twice = next(_repeated([f.name for f in factors]), None)
    if twice is not None:
        raise ValueError(f"factor {twice} is there twice")
    if not 1 <= count <= MOST_POINTS:
        raise ValueError(f"points ({count}) must be from 1 to {MOST_POINTS}")


def _repeated(names: Sequence[str]) -> Iterator[str]:
    yield from (name for i, name in enumerate(names) if name in names[:i])
