"""What the points of a design show: effects of the factors, and whether a difference turns round.

Each kind of design has its own: main effects of a 2^k, swings of one at a time, rank correlations
of a Latin hypercube or Sobol points, and means by level of a full factorial or of words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scenarios.campaign import Carried
from scenarios.compare_schemes import TIMES, number
from scenarios.estimates import mean
from scenarios.headlines import Role, alike, by_role, values
from scenarios.parameters import shown
from scenarios.spec import Spec
from sim.comparisons import matched
from sim.design import Level, Point
from sim.estimators import Interval, paired_difference
from sim.sensitivity import main_effects, rank_correlations, tornado
from sim.verdict import Verdict, sign_verdict

EACH = "each"  # stands for the scheme where schemes are a factor


def roles(spec: Spec, carried: Sequence[Carried]) -> list[Role]:
    """The headlines that some point has."""
    found: dict[Role, None] = {}
    for one in carried:
        found |= dict.fromkeys(by_role(spec, one.condition.point, one.results))
    return list(found)


def title(spec: Spec, carried: Sequence[Carried], role: Role) -> str:
    """Measure, point and system; of the point's parameters by name only those that are varied."""
    there = {
        headline.point
        for one in carried
        for r, headline in by_role(spec, one.condition.point, one.results).items()
        if r == role
    }
    at = there.pop() if len(there) == 1 else role.at.replace("[0]", "")
    return role._replace(at=at).words()


def observed(spec: Spec, one: Carried, role: Role, scheme: str) -> list[float | None] | None:
    """A headline in each replication of one point; None if the point has no such measure."""
    headline = by_role(spec, one.condition.point, one.results).get(role)
    own = next(iter(one.results)) if scheme == EACH else scheme
    return None if headline is None else values(one.results[own], headline)


def scheme_names(carried: Sequence[Carried]) -> list[str]:
    """The schemes that all points have, or one that stands for each point's own."""
    first = carried[0].condition
    return [EACH] if "scheme" in first.values else list(first.schemes)


def at_points(
    spec: Spec, carried: Sequence[Carried], role: Role, scheme: str
) -> list[Interval | None]:
    """The mean at each point; None where it never came in some replication, or is not measured."""
    found = [observed(spec, one, role, scheme) for one in carried]
    return [None if some is None else mean(some) for some in found]


def effects(kind: str, points: Sequence[Point], means: Sequence[Interval | None]) -> list[Any]:
    """One record for each factor, as its kind of design has it."""
    numbers = [None if one is None else one.mean for one in means]
    if kind == "2k":
        return [{"factor": e.factor, "effect": e.effect} for e in main_effects(points, numbers)]
    if kind == "one-at-a-time":
        return [{"factor": b.factor, "low": b.low, "high": b.high, "at_low": b.at_low,
                 "at_high": b.at_high, "swing": b.swing}
                for b in tornado(points, numbers)]  # fmt: skip
    ranked = [] if kind == "full" else [name for name in points[0] if _numeric(points, name)]
    rows: list[Any] = []
    if ranked:
        some = [{name: point[name] for name in ranked} for point in points]
        rows += [{"factor": r.factor, "rank_correlation": r.rho, "ci95": _limits(r.low, r.high),
                  "points": r.points, "missing": r.missing}
                 for r in rank_correlations(some, numbers)]  # fmt: skip
    rest = [name for name in points[0] if name not in ranked]
    return rows + [{"factor": name, "levels": _by_level(name, points, numbers)} for name in rest]


def verdicts(
    spec: Spec, carried: Sequence[Carried], found: Sequence[Role]
) -> Iterator[tuple[Role, str, str, Verdict]]:
    """(headline, a, b, verdict) for each later scheme against the first."""
    names = scheme_names(carried)
    points = [one.condition.values for one in carried]
    for role in found:
        for name in names[1:]:
            differences = [difference(spec, one, role, names[0], name) for one in carried]
            if any(one is not None for one in differences):
                yield role, names[0], name, sign_verdict(points, differences)


def difference(spec: Spec, one: Carried, role: Role, a: str, b: str) -> Interval | None:
    """b minus a at one point, pair by pair; None if no pair came, or some came on one side only."""
    of_a, of_b = (observed(spec, one, role, name) for name in (a, b))
    if of_a is None or of_b is None:
        return None
    pairs = matched(dict(enumerate(of_a)), dict(enumerate(of_b)))
    return paired_difference(pairs.a, pairs.b) if pairs.a and not pairs.unmatched else None


def in_words(what: str, a: str, b: str, verdict: Verdict) -> str:
    """A verdict on b minus a as a sentence about `what`."""
    sign = ""
    if verdict.same_sign:
        sign = f", {'above' if verdict.positive else 'below'} 0"
    return f"{what}, {b} - {a}: {verdict}{sign}"


def _by_level(
    name: str, points: Sequence[Point], numbers: Sequence[float | None]
) -> list[dict[str, Any]]:
    """The mean over all points of each level; None if it never came at one of them."""
    rows = []
    for level in dict.fromkeys(point[name] for point in points):
        some = [v for point, v in zip(points, numbers, strict=True) if point[name] == level]
        came = [v for v in some if v is not None]
        whole = len(came) == len(some)
        rows.append({"level": level, "points": len(some),
                     "mean": math.fsum(came) / len(came) if whole else None})  # fmt: skip
    return rows


def _numeric(points: Sequence[Point], name: str) -> bool:
    settings: list[Level] = [point[name] for point in points]
    return not any(isinstance(level, str) for level in settings)


def _limits(low: float | None, high: float | None) -> list[float] | None:
    return None if low is None or high is None else [low, high]


def effect_cells(
    row: Mapping[str, Any], scale: float, least: float = 0.0
) -> Iterator[tuple[str, str]]:
    """(factor, its effect) as cells: a rank correlation, or the measure times `scale`.

    A factor whose means are told by level has a cell for each, named FACTOR=LEVEL.  An asterisk
    stands where the interval of a correlation leaves 0 out.  What is at most `least` is 0: the
    rounding of sums.
    """
    factor = row["factor"]
    if "levels" in row:
        for one in row["levels"]:
            mean = one["mean"]
            cell = "never" if mean is None else number(mean * scale, "")
            yield f"{factor}={shown(one['level'])}", cell
    elif "rank_correlation" in row:
        rho, limits = row["rank_correlation"], row["ci95"]
        apart = limits is not None and limits[0] * limits[1] > 0
        yield factor, "no effect" if rho is None else f"{rho:+.2f}{'*' if apart else ''}"
    else:
        value = row["effect"] if "effect" in row else row["swing"]
        moved = value is not None and abs(value) > least
        yield factor, "never" if value is None else f"{value * scale if moved else 0:+.3g}"


def verdict_label(
    spec: Spec, carried: Sequence[Carried], role: Role, schemes: Sequence[str]
) -> str:
    """Exact where all that it rests on are whole numbers, alike in all replications of a point."""
    if role.unit in TIMES:
        return "assumed"
    each = [observed(spec, one, role, name) or [] for one in carried for name in schemes]
    whole = all(value is None or isinstance(value, int) for some in each for value in some)
    return "exact" if whole and all(alike(some) for some in each) else "assumed"
