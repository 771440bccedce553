"""When to stop replicating: at a relative half-width, decided from the values so far and no more.

The rule of Law, Simulation Modeling and Analysis, 5th ed., 9.4.1: from at least ten replications,
go on until the half-width of Student's interval is at most g / (1 + g) of the mean; then the mean
is within g of the true one as often as the level says.  A decision depends on the values alone, so
a run that was interrupted goes on to the same number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from sim.estimators import Interval, mean_interval
from sim.sample_size import LEAST

MOST = 1000  # replications at which the rule gives up -- assumed


class Decision(NamedTuple):
    """Whether to stop, and if not, how many replications to have before asking again."""

    stop: bool
    reached: bool  # the precision asked for
    replications: int  # to have in all; those there are if it stops
    relative_half_width: float | None  # None if there is no interval, or the mean is 0
    why: str  # one clause, for the user


def next_replications(
    values: Sequence[float | None],
    precision: float,
    level: float = 0.95,
    least: int = LEAST,
    most: int = MOST,
) -> Decision:
    """Decide from the values of one measure in all replications so far.

    `least` is raised to what `sim.sample_size` needs for the kind of measure.  The next number is
    what the present spread makes likely, at most twice as many.  A measure that never came in a
    replication (None or inf) has no mean that more replications could make precise: the rule stops.
    Raises ValueError for a precision not between 0 and 1, `least` below 2 or `most` below `least`.
    """
    if not 0 < precision < 1:
        raise ValueError(f"precision ({precision}) must be between 0 and 1")
    if not 2 <= least <= most:
        raise ValueError(f"least ({least}) must be from 2 to most ({most})")
    count = len(values)
    came = [value for value in values if value is not None and value != math.inf]
    if len(came) < count:
        why = f"it never came in {count - len(came)} of {count} replications"
        return Decision(True, False, count, None, why)
    if count < least:
        return Decision(False, False, least, None, f"fewer than {least} replications")
    relative = _relative_half_width(mean_interval(came, level))
    aim = precision / (1 + precision)
    if relative is not None and relative <= aim:
        return Decision(True, True, count, relative, f"half-width at most {aim:.3g} of the mean")
    if count >= most:
        return Decision(True, False, count, relative, f"{most} replications were not enough")
    likely = 2 * count if relative is None else math.ceil(count * (relative / aim) ** 2)
    following = min(max(likely, count + 1), 2 * count, most)
    return Decision(False, False, following, relative, f"half-width above {aim:.3g} of the mean")


def together(decisions: Sequence[Decision]) -> Decision:
    """One decision for several measures: goes on while any of them does.

    Raises ValueError if there is none.
    """
    if not decisions:
        raise ValueError("a decision needs at least one measure")
    going = [decision for decision in decisions if not decision.stop]
    if going:
        return max(going, key=lambda decision: decision.replications)
    missed = [decision for decision in decisions if not decision.reached]
    return missed[0] if missed else max(decisions, key=lambda d: d.relative_half_width or 0.0)


def _relative_half_width(interval: Interval) -> float | None:
    """Half the interval over the mean; None without an interval or about a mean of 0."""
    if interval.low is None or interval.high is None:
        return None
    half = (interval.high - interval.low) / 2
    if half == 0:
        return 0.0
    return None if interval.mean == 0 else half / abs(interval.mean)
