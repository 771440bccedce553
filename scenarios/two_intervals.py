"""The two intervals of each headline, and the headlines as curves over the split of a creation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.win32.cost_profile import Profile
from scenarios.assumed_inputs import BASE, SPLITS, Ends
from scenarios.campaign import Carried
from scenarios.design_points import SPLIT, share_of_call
from scenarios.headline_series import followed, interval, values
from scenarios.spec import Spec
from sim.estimators import Interval
from sim.input_ranges import Extreme, two_intervals


def inputs(ends: Ends) -> list[dict[str, Any]]:
    """The assumed inputs that move anything, each with its range."""
    return [
        {"key": one.factor.name, "value": one.value, "low": one.factor.low, "high": one.factor.high}
        for one in ends.inputs
    ]


def document(spec: Spec, carried: Sequence[Carried]) -> list[dict[str, Any]]:
    """Each headline, and each difference: mean, interval of replications, range of inputs."""
    rows = []
    for series in followed(spec, carried):
        found = two_intervals(
            {one.condition.words or BASE: values(spec, one, series) for one in carried}, BASE
        )
        rows.append(
            {
                **series.document(),
                "mean": found.monte_carlo.mean if found.monte_carlo else None,
                "monte_carlo_ci95": found.monte_carlo.limits() if found.monte_carlo else None,
                "input_range": found.input_range(),
                "lowest": _extreme(found.lowest),
                "highest": _extreme(found.highest),
                "points": found.points,
                "never_came_at": list(found.missing),
            }
        )
    return rows


def curve(spec: Spec, carried: Sequence[Carried], profile: Profile) -> dict[str, Any] | None:
    """Each headline at each share of CreateProcess in a creation; None without a curve."""
    if not carried:
        return None
    rows = [
        {**series.document(), "means": [_mean(interval(spec, one, series)) for one in carried]}
        for series in followed(spec, carried)
    ]
    shares = {"shares": list(SPLITS), "of_profile": share_of_call(profile)}
    return {"key": SPLIT, **shares, "rows": rows}


def _extreme(extreme: Extreme | None) -> dict[str, Any] | None:
    if extreme is None:
        return None
    return {"point": extreme.point, **_mean(extreme.interval)}


def _mean(found: Interval | None) -> dict[str, Any]:
    if found is None:
        return {"mean": None, "ci95": None}
    return {"mean": found.mean, "ci95": found.limits()}
