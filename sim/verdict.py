"""Does a conclusion hold whatever the assumed inputs are: the sign of a difference at each point.

A difference with an interval has a sign if the interval leaves 0 out; without one (exact results, a
single replication) it has the sign of its mean.  What never came in one of two runs is unmatched
and has none.  The verdict speaks of the points that were run and of nothing between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sim.design import Level, Point
from sim.estimators import Interval


class Region(NamedTuple):
    """Where the rarer sign is: the values of one factor that hold all its points."""

    factor: str
    low: float | None  # None: from below all points on
    high: float | None  # None: to above all points
    levels: tuple[Level, ...]  # instead of limits, where the values are no numbers
    of_rarer: int  # points with the rarer sign, all of which are inside
    of_other: int  # points with the other sign that are inside too: 0 if the factor alone decides

    def __str__(self) -> str:
        if self.levels:
            where = f"{self.factor} = {' or '.join(map(str, self.levels))}"
        elif self.low is None or self.high is None:
            limit = self.high if self.low is None else self.low
            where = f"{self.factor} {'<=' if self.low is None else '>='} {limit:.4g}"
        else:
            where = f"{self.low:.4g} <= {self.factor} <= {self.high:.4g}"
        return where


class Verdict(NamedTuple):
    """The signs at all points of a design."""

    points: int
    positive: int
    negative: int
    undecided: int  # 0, or an interval that holds 0
    unmatched: int  # no difference
    region: Region | None  # of the rarer sign; None if no factor says where it is

    @property
    def same_sign(self) -> bool:
        """Whether every point has the same sign."""
        return self.points in (self.positive, self.negative)

    def __str__(self) -> str:
        if self.same_sign:
            return f"same sign in all {self.points} sampled points"
        counts = [(self.positive, "positive"), (self.negative, "negative"),
                  (self.undecided, "undecided"), (self.unmatched, "unmatched")]  # fmt: skip
        said = ", ".join(f"{word} in {n}" for n, word in counts if n)
        text = f"{said} of {self.points} sampled points"
        if self.region is None:
            return text
        rarer = "positive" if self.positive <= self.negative else "negative"
        also = f" (with {self.region.of_other} of the others)" if self.region.of_other else ""
        return f"{text}; {rarer} only where {self.region}{also}"


def sign_verdict(points: Sequence[Point], differences: Sequence[Interval | None]) -> Verdict:
    """The verdict on the differences at the points of a design, in their order.

    Raises ValueError for numbers that do not fit, or no point.
    """
    if not points or len(points) != len(differences):
        found = len(differences)
        raise ValueError(f"differences ({found}) must be as many as points ({len(points)}, > 0)")
    signs = [_sign(difference) for difference in differences]
    up = [p for p, sign in zip(points, signs, strict=True) if sign == 1]
    down = [p for p, sign in zip(points, signs, strict=True) if sign == -1]
    rarer, other = (up, down) if len(up) <= len(down) else (down, up)
    region = None
    if rarer:
        regions = [_region(name, rarer, other) for name in points[0]]
        region = min(regions, key=lambda r: r.of_other)
        region = None if region.of_other == len(other) else region
    return Verdict(len(points), len(up), len(down), signs.count(0), signs.count(None), region)


def _sign(difference: Interval | None) -> int | None:
    """1, -1, 0 for undecided, None for unmatched."""
    if difference is None:
        return None
    low, high = difference.mean, difference.mean
    if difference.low is not None and difference.high is not None:
        low, high = difference.low, difference.high
    return int(low > 0) - int(high < 0)


def _region(name: str, rarer: Sequence[Point], other: Sequence[Point]) -> Region:
    inside = [point[name] for point in rarer]
    outside = [point[name] for point in other]
    if any(isinstance(value, str) for value in inside + outside):
        levels = tuple(dict.fromkeys(inside))
        return Region(name, None, None, levels, len(inside), sum(v in levels for v in outside))
    held = sorted(float(value) for value in inside)
    rest = [float(value) for value in outside]
    low, high = held[0], held[-1]
    among = sum(low <= value <= high for value in rest)
    below, above = any(v < low for v in rest), any(v > high for v in rest)
    return Region(name, low if below else None, high if above else None, (), len(held), among)
