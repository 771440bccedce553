"""Two intervals that must not be mixed: what replications leave open, and what inputs leave open.

The *Monte Carlo* interval of a mean shrinks with more replications.  The *input* range does not: it
is how far the mean moves while each assumed parameter goes from half to twice its value.  It is no
confidence interval, since nobody knows how likely these values are; it is the least and the
greatest mean of the points that were run.  Source: R. R. Barton, Input uncertainty in output
analysis, Winter Simulation Conference 2012.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sim.estimators import Interval, mean_interval


class Extreme(NamedTuple):
    """The design point at one end of the input range; the base where none goes beyond it."""

    point: str
    interval: Interval  # its own Monte Carlo interval


class TwoIntervals(NamedTuple):
    """A measure at its base point with both intervals."""

    monte_carlo: Interval | None  # None if the measure never came at the base point
    lowest: Extreme | None  # None if it came at no point
    highest: Extreme | None
    points: int  # the base included
    missing: tuple[str, ...]  # points where it never came in some replication

    def input_range(self) -> list[float] | None:
        """`[lowest, highest]` mean over all points; None if it never came at some of them."""
        if self.missing or self.lowest is None or self.highest is None:
            return None
        return [self.lowest.interval.mean, self.highest.interval.mean]


def two_intervals(
    by_point: Mapping[str, Sequence[float | None]], base: str, level: float = 0.95
) -> TwoIntervals:
    """Both intervals of one measure from its values in each replication of each point.

    `by_point` maps the name of a point to its values; points that share replications share random
    numbers, so that the range is one of inputs and not of luck.  A point whose values are all there
    takes part; one with a value that never came (None or inf) is named in `missing`, and then there
    is no range, only the ends that were seen.  Raises ValueError if `base` is not among the points
    or a point has no value.
    """
    if base not in by_point:
        raise ValueError(f"base ({base}) must be one of the points ({', '.join(by_point)})")
    found: dict[str, Interval] = {}
    missing = []
    for name, values in by_point.items():
        came = [value for value in values if value is not None and value != float("inf")]
        if len(came) < len(values):
            missing.append(name)
        else:
            found[name] = mean_interval(came, level)
    lowest = min(found, key=lambda name: (found[name].mean, name != base), default=None)
    highest = max(found, key=lambda name: (found[name].mean, name == base), default=None)
    return TwoIntervals(
        found.get(base),
        None if lowest is None else Extreme(lowest, found[lowest]),
        None if highest is None else Extreme(highest, found[highest]),
        len(by_point),
        tuple(missing),
    )
