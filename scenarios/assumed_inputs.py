"""The assumed numbers of a profile as factors: each from half to twice its value.

Beside them stands the split of a creation, which no measurement tells: CreateProcess's share of
itself and the child's loader, from half to twice what the profile has, and at most 90 %.  Numbers
that are 0 have no half and no double.  Which of them move a scenario at all is found by running
it: one replication at both ends of each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from models.win32.cost_profile import Profile
from scenarios.campaign import Campaign, Condition, exactly
from scenarios.design_points import CREATION, SPLIT, at_point, centre, share_of_call
from sim.design import Factor, Level, Point, about

_MOST_SHARE = 0.9  # of the call in a creation -- assumed
SPLITS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # of the curve -- chosen
BASE = "as the profile has it"


class Assumed(NamedTuple):
    """One assumed input: its factor and the value that the profile has."""

    factor: Factor
    value: float


class Ends(NamedTuple):
    """One-at-a-time points: the base, then both ends of each factor, in the factors' order."""

    inputs: list[Assumed]
    conditions: list[Condition]  # 1 + 2 k
    points: list[Point]  # every factor's value at each, as `sim.sensitivity` wants them

    def only(self, keep: Sequence[bool]) -> Ends:
        """The same with some of the factors."""
        kept = [i for i, wanted in enumerate(keep) if wanted]
        names = [self.inputs[i].factor.name for i in kept]
        rows = [0, *(1 + 2 * i + end for i in kept for end in (0, 1))]
        return Ends(
            [self.inputs[i] for i in kept],
            [self.conditions[row] for row in rows],
            [{name: self.points[row][name] for name in names} for row in rows],
        )


def assumed(profile: Profile) -> list[Assumed]:
    """The assumed inputs of a profile, in its order, the split last."""
    found = []
    for key, parameter in profile.parameters.items():
        if parameter.kind == "assumed":
            name, value = centre(profile, key)
            if value > 0 and math.isfinite(value):
                found.append(Assumed(about(f"profile.{name}", value), value))
    share = share_of_call(profile)
    if share is not None and all(profile.parameters[k].kind != "measured" for k in CREATION):
        high = min(_MOST_SHARE, 2 * share)
        if share / 2 < high:
            found.append(Assumed(Factor(SPLIT, low=share / 2, high=high), share))
    return found


def ends(base: Condition, where: str) -> Ends:
    """The base and both ends of each assumed input."""
    inputs = assumed(base.profile)
    centres: dict[str, Level] = {one.factor.name: one.value for one in inputs}
    conditions, points = [named_base(base)], [dict(centres)]
    for one in inputs:
        for value in one.factor.ends():
            condition = at_point({one.factor.name: value}, base, where)
            conditions.append(condition)
            points.append(centres | condition.values)
    return Ends(inputs, conditions, points)


def named_base(base: Condition) -> Condition:
    """The condition in which nothing is varied."""
    return Condition(base.point, base.system, base.profile, base.schemes)


def that_move(campaign: Campaign, found: Ends) -> Ends:
    """Only the inputs that change any number of the first replication."""
    carried = campaign.carried_out(found.conditions, exactly(1))
    rows = [[outcome.rows for outcome in one.outcomes] for one in carried]
    moved = [
        any(rows[1 + 2 * i + end] != rows[0] for end in (0, 1)) for i in range(len(found.inputs))
    ]
    return found.only(moved)


def curve(base: Condition, where: str) -> list[Condition]:
    """The conditions of the curve over the split; none where a creation costs nothing."""
    if share_of_call(base.profile) is None:
        return []
    return [at_point({SPLIT: share}, base, where) for share in SPLITS]
